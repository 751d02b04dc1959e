import { describe, expect, test } from '@jest/globals';
import { nameOfServer, readServers } from '../../src/store/servers.ts';

describe('several hosts in the URL of a database', () => {
  test.each<[string, readonly string[], readonly string[]]>([
    [
      'postgres://u:p%40s@db.example/strongroom',
      ['postgres://u:p%40s@db.example/strongroom'],
      ['db.example'],
    ],
    [
      'postgres://u:p@a:5432,b,[::1]:5433/db?sslmode=require&target_session_attrs=read-write',
      [
        'postgres://u:p@a:5432/db?sslmode=verify-full',
        'postgres://u:p@b/db?sslmode=verify-full',
        'postgres://u:p@[::1]:5433/db?sslmode=verify-full',
      ],
      ['a:5432', 'b', '[::1]:5433'],
    ],
    [
      'postgresql://u:p@/db?host=a,b&port=1,2',
      ['postgresql://u:p@/db?host=a&port=1', 'postgresql://u:p@/db?host=b&port=2'],
      ['a:1', 'b:2'],
    ],
    [
      'postgres://u:p@a,b/db?port=6432',
      ['postgres://u:p@a/db?port=6432', 'postgres://u:p@b/db?port=6432'],
      ['a:6432', 'b:6432'],
    ],
    [
      'postgres://u:p@/db?host=%2Frun%2Fone,%2Frun%2Ftwo',
      ['postgres://u:p@/db?host=%2Frun%2Fone', 'postgres://u:p@/db?host=%2Frun%2Ftwo'],
      ['/run/one', '/run/two'],
    ],
    // An "@" in the password, which should have been written as %40, and a path that has one.
    ['postgres://u:p@s@a,b/d@b', ['postgres://u:p@s@a/d@b', 'postgres://u:p@s@b/d@b'], ['a', 'b']],
    ['postgres://a?sslmode=disable', ['postgres://a?sslmode=disable'], ['a']],
  ])('%s', (url, urls, names) => {
    expect(readServers(url).urls).toEqual(urls);
    expect(urls.map(nameOfServer)).toEqual(names);
  });

  test.each(['standby', 'prefer-standby', 'read-only', '<script>'])(
    'is refused where it asks for a server that is %s, without a word of the URL itself',
    (attributes) => {
      const url = `postgres://u:secret@a/db?target_session_attrs=${encodeURIComponent(attributes)}`;
      expect(() => readServers(url)).toThrow(/^DATABASE_URL: target_session_attrs=(?:[\w-]+|…) /);
      expect(() => readServers(url)).not.toThrow(/secret|script/);
    },
  );

  test('is refused where ports and hosts are not as many', () => {
    expect(() => readServers('postgres://u:secret@/db?host=a,b,c&port=1,2')).toThrow(
      "DATABASE_URL: it can't be read as the URL of a database.",
    );
  });
});

describe('which server is the primary', () => {
  const [A, B] = ['postgres://a/db', 'postgres://b/db'];

  test('is tried in turn; one who fails late moves nobody away from the next', () => {
    const servers = readServers('postgres://a,b/db');
    expect(servers.current).toBe(A);
    servers.failed(A);
    servers.failed(A);
    expect(servers.current).toBe(B);
    servers.failed(B);
    expect(servers.current).toBe(A);
  });

  test('is said once when it is another one than before, and not at first', () => {
    const servers = readServers('postgres://a,b/db');
    const moved: (string | undefined)[] = [];
    servers.onMoved((primary) => moved.push(primary));
    servers.verified(A);
    servers.failed(A);
    servers.verified(A);
    expect(servers.current).toBe(A);
    servers.failed(A);
    servers.verified(B);
    servers.verified(B);
    expect(moved).toEqual([B]);
  });

  test('is none while nobody answers, which is said once', () => {
    const servers = readServers('postgres://a/db');
    const moved: (string | undefined)[] = [];
    servers.onMoved((primary) => moved.push(primary));
    servers.away();
    servers.away();
    expect([servers.isAway, moved]).toEqual([true, [undefined]]);
    servers.back();
    expect(servers.isAway).toBe(false);
  });
});
