// Every vector through the service, where `npm test` takes a few of each kind.
process.env['STRONGROOM_TEST_EXTENT'] = 'full';
await import('../service/operations/wycheproof.test.ts');
