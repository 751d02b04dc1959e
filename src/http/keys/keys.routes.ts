import { action } from '../../core/access/actions.ts';
import type { BackupService } from '../../core/recovery/backup-service.ts';
import type { KeyName } from '../../core/keys/key.ts';
import type { KeyService } from '../../core/keys/key-service.ts';
import { isAkp } from '../../core/keys/key-spec.ts';
import { keyScope } from '../../core/access/role.ts';
import { requireFeature } from '../api-version.ts';
import { requireAllowed } from '../route.ts';
import { apiVersionOf, type RequestContext } from '../context.ts';
import { keyNameOf, keyOf, keyScopeOf, keyVersionOf } from './key-params.ts';
import {
  CreateKeyRequest,
  ImportKeyRequest,
  serializeDeletedKey,
  serializeDeletedKeyItem,
  serializeKey,
  serializeKeyItem,
  type KeyFormatOf,
  RestoreKeyRequest,
  UpdateKeyRequest,
} from './keys.schema.ts';
import { pageQuery, serializePage } from '../values/paging.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { createValueReader } from '../values/value-body.ts';

/** Azure's page size, and the most that it gives. */
const PAGE = pageQuery(25);

/** A key of 1,000 versions of RSA-4096 comes to 6 MB. */
const BACKUP_LIMIT = 16 * 1024 * 1024;

const IMPORT = action('keys/import/action');

const allKeys = { params: () => ({}), scope: () => '/keys' as const, key: null };

/** Keys and deleted keys. A path with a literal after the name comes before the one with a version there. */
export function addKeyRoutes(
  routes: Routes,
  keys: KeyService,
  backups: BackupService,
  formatOf: KeyFormatOf,
): void {
  route(routes, {
    method: 'post',
    path: '/keys/:name/create',
    operation: 'KeyCreate',
    keyMaterial: 'public',
    action: action('keys/create'),
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    body: CreateKeyRequest,
    handler: async ({ params, body, context }) => {
      requireKnownOperations(body, context);
      requireKnownType(body.keyType, context);
      return serializeKey(await keys.create(params.name, body, context.audit), formatOf(context));
    },
  });

  route(routes, {
    method: 'put',
    path: '/keys/:name',
    operation: 'KeyImport',
    keyMaterial: 'public',
    action: IMPORT,
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    body: ImportKeyRequest,
    handler: async ({ params, body, context }) => {
      requireKnownOperations(body, context);
      requireKnownType(body.key.kty, context);
      const requireMayImportBy = (exchangeKey: KeyName) =>
        requireAllowed(routes.services.authorizer, context, IMPORT, keyScope(exchangeKey));
      return serializeKey(
        await keys.import(params.name, body, requireMayImportBy, context.audit),
        formatOf(context),
      );
    },
  });

  route(routes, {
    method: 'get',
    path: '/keys',
    operation: 'KeyList',
    keyMaterial: 'none',
    action: action('keys/read/action'),
    ...allKeys,
    query: PAGE,
    handler: async ({ query, context }) =>
      serializePage(
        await keys.list(query),
        `https://${context.host.authority}/keys`,
        { maxresults: query.limit },
        (version) => serializeKeyItem(version, formatOf(context), 'key'),
      ),
  });

  route(routes, {
    method: 'get',
    path: '/keys/:name/versions',
    operation: 'KeyListVersions',
    keyMaterial: 'none',
    action: action('keys/read/action'),
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    query: PAGE,
    handler: async ({ params, query, context }) => {
      const page = await keys.listVersions(params.name, query);
      const name = page.items[0]?.material.identity.name ?? params.name;
      context.audit.note({ keyName: name });
      return serializePage(
        page,
        `https://${context.host.authority}/keys/${name}/versions`,
        { maxresults: query.limit },
        (version) => serializeKeyItem(version, formatOf(context), 'version'),
      );
    },
  });

  route(routes, {
    method: 'get',
    path: ['/keys/:name', '/keys/:name/:version'],
    operation: 'KeyGet',
    keyMaterial: 'public',
    action: action('keys/read/action'),
    params: keyVersionOf,
    scope: keyScopeOf,
    key: keyNameOf,
    handler: async ({ params, context }) => {
      const version = await keys.get(params.name, params.version);
      const { identity } = version.material;
      context.audit.note({ keyName: identity.name, keyVersion: identity.version });
      return serializeKey(version, formatOf(context));
    },
  });

  route(routes, {
    method: 'patch',
    path: ['/keys/:name', '/keys/:name/:version'],
    operation: 'KeyUpdate',
    keyMaterial: 'public',
    action: action('keys/write/action'),
    params: keyVersionOf,
    scope: keyScopeOf,
    key: keyNameOf,
    body: UpdateKeyRequest,
    handler: async ({ params, body, context }) => {
      requireKnownOperations(body, context);
      return serializeKey(
        await keys.update(params.name, params.version, body, context.audit),
        formatOf(context),
      );
    },
  });

  route(routes, {
    method: 'delete',
    path: '/keys/:name',
    operation: 'KeyDelete',
    keyMaterial: 'public',
    action: action('keys/delete'),
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    handler: async ({ params, context }) => {
      return serializeDeletedKey(await keys.delete(params.name, context.audit), formatOf(context));
    },
  });

  route(routes, {
    method: 'post',
    path: '/keys/:name/backup',
    operation: 'KeyBackup',
    keyMaterial: 'wrapped',
    action: action('keys/backup/action'),
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    handler: async ({ params, context }) => ({
      value: await backups.backup(params.name, (notes) => {
        context.audit.note(notes);
      }),
    }),
  });

  route(routes, {
    method: 'post',
    path: '/keys/restore',
    operation: 'KeyRestore',
    keyMaterial: 'public',
    action: action('keys/restore/action'),
    ...allKeys,
    body: RestoreKeyRequest,
    readBody: createValueReader(BACKUP_LIMIT),
    handler: async ({ body, context }) =>
      serializeKey(await backups.restore(body.value, context.audit), formatOf(context)),
  });

  route(routes, {
    method: 'get',
    path: '/deletedkeys',
    operation: 'KeyListDeleted',
    keyMaterial: 'none',
    action: action('keys/deletedKeys/read/action'),
    ...allKeys,
    query: PAGE,
    handler: async ({ query, context }) =>
      serializePage(
        await keys.listDeleted(query),
        `https://${context.host.authority}/deletedkeys`,
        { maxresults: query.limit },
        (deleted) => serializeDeletedKeyItem(deleted, formatOf(context)),
      ),
  });

  route(routes, {
    method: 'get',
    path: '/deletedkeys/:name',
    operation: 'KeyGetDeleted',
    keyMaterial: 'public',
    action: action('keys/deletedKeys/read/action'),
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    handler: async ({ params, context }) => {
      const deleted = await keys.getDeleted(params.name);
      context.audit.note({ keyName: deleted.current.material.identity.name });
      return serializeDeletedKey(deleted, formatOf(context));
    },
  });

  route(routes, {
    method: 'delete',
    path: '/deletedkeys/:name',
    operation: 'KeyPurge',
    keyMaterial: 'none',
    action: action('keys/deletedKeys/delete'),
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    status: 204,
    handler: async ({ params, context }) => {
      await keys.purge(params.name, context.audit);
    },
  });

  route(routes, {
    method: 'post',
    path: '/deletedkeys/:name/recover',
    operation: 'KeyRecover',
    keyMaterial: 'public',
    action: action('keys/deletedKeys/recover/action'),
    params: keyOf,
    scope: keyScopeOf,
    key: keyNameOf,
    handler: async ({ params, context }) => {
      return serializeKey(await keys.recover(params.name, context.audit), formatOf(context));
    },
  });
}

/** @throws ServiceError BadParameter for a type of a newer version than the request's */
function requireKnownType(keyType: string | undefined, context: RequestContext): void {
  if (isAkp(keyType)) requireFeature(apiVersionOf(context), 'mlDsa', 'An AKP-HSM key (ML-DSA)');
}

/** @throws ServiceError BadParameter for operations of a newer version than the request's */
function requireKnownOperations(
  { operations }: { readonly operations?: readonly string[] | undefined },
  context: RequestContext,
): void {
  for (const name of ['secureWrapKey', 'secureUnwrapKey'])
    if (operations?.includes(name) === true)
      requireFeature(apiVersionOf(context), 'secureWrapOperations', `${name} among key_ops`);
}
