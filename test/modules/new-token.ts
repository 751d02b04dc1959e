import { startRawModule } from '../support/raw-module.ts';

const SECURITY_OFFICER = 0;
const READ_WRITE = 6;
/** Blanks behind a label (PKCS#11 v2.40 base §5.5), which the binding leaves to its caller. */
const LABEL_BYTES = 32;

/** Initialises the first slot of a module, by raw calls, with one PIN for the security officer and for the user. */
export async function initialiseNewToken(
  environment: Readonly<Record<string, string>>,
  label: string,
  pin: string,
): Promise<void> {
  const module = await startRawModule(environment);
  try {
    await module.call('C_Initialize', { flags: 2 });
    const { result: slots } = await module.call<Buffer[]>('C_GetSlotList', false);
    await module.call('C_InitToken', slots[0], pin, label.padEnd(LABEL_BYTES));
    const { result: session } = await module.call<Buffer>('C_OpenSession', slots[0], READ_WRITE);
    await module.call('C_Login', session, SECURITY_OFFICER, pin);
    await module.call('C_InitPIN', session, pin);
    // Some write what they have only then.
    await module.call('C_Finalize');
  } finally {
    await module.end();
  }
}
