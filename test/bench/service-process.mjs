// One process of the service, told its settings by its parent; with `audited: false` its records go nowhere.
import process from 'node:process';
import { pino } from 'pino';
import { compose } from '../../dist/modules/compose/compose.js';
import { createHttpsServer } from '../../dist/modules/http/server/server.js';

process.once('message', async ({ settings, audited }) => {
  const auditLog = { append: () => Promise.resolve(), appendLater: () => undefined };
  const { app } = await compose(settings, pino({ level: 'error' }, pino.destination(2)), {
    ...(!audited && { auditLog }),
  });
  const server = createHttpsServer(app, settings.tls);
  server.listen(0, '127.0.0.1', () => {
    process.send({ port: server.address().port });
  });
});
process.on('message', (message) => {
  if (message === 'cpu') process.send(process.cpuUsage());
});
process.on('disconnect', () => process.exit(0));
