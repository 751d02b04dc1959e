// Each member of each body wrong in every way, and a hundred hostile requests a route, where `npm test` takes a part.
process.env['STRONGROOM_TEST_EXTENT'] = 'full';
await import('../service/http/no-500.test.ts');
