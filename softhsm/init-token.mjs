// Makes a PKCS#11 token: reads { module, label, pin, soPin } as JSON from standard input, where no other user can see
// them as they can on a command line, and initialises the module's first free slot. A process of its own, since
// SoftHSM2 reads SOFTHSM2_CONF once, when it is loaded.
import { text } from 'node:stream/consumers';
import process from 'node:process';
import graphene from 'graphene-pk11';

const { module: path, label, pin, soPin } = JSON.parse(await text(process.stdin));
// The words are for an operator: a stack of ours would only hide the module's answer.
process.on('uncaughtException', ({ message }) => {
  process.stderr.write(`${message}\n`, () => process.exit(1));
});
const module = graphene.Module.load(path, 'PKCS#11 module');
module.initialize();
try {
  const slot = findFreeSlot();
  // Not graphene's initToken, which trips over the answer; C_InitToken reads 32 bytes, whatever the label's length.
  module.lib.C_InitToken(slot.handle, soPin, label.padEnd(32));
  const session = slot.open(graphene.SessionFlag.SERIAL_SESSION | graphene.SessionFlag.RW_SESSION);
  session.login(soPin, graphene.UserType.SO);
  session.initPin(pin);
  session.logout();
  session.close();
} finally {
  module.finalize();
}

function findFreeSlot() {
  const slots = module.getSlots(true);
  for (let index = 0; index < slots.length; index += 1) {
    const slot = slots.items(index);
    if ((slot.getToken().flags & graphene.TokenFlag.TOKEN_INITIALIZED) === 0) return slot;
  }
  throw new Error('The PKCS#11 module has no free slot.');
}
