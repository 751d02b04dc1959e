// At its full extent, of which `npm test` takes a part.
process.env['STRONGROOM_TEST_EXTENT'] = 'full';
await import('../store/access/races.test.ts');
