import graphene, { type Module, type Slot } from 'graphene-pk11';
import { OperatorError } from '../../core/operator-error.ts';
import { giveUp, initialiseLibrary, loadModule } from './library.ts';
import type { LibraryOptions, TokenOptions } from './token-options.ts';

const { TOKEN_INITIALIZED } = graphene.TokenFlag;

interface LabelledSlot {
  readonly slot: Slot;
  readonly label: string;
}

/** The slots whose token has been initialised and says what it is: another one may be busy, or broken. */
function labelledSlots(module: Module): readonly LabelledSlot[] {
  const slots = module.getSlots(true);
  return Array.from({ length: slots.length }, (_, index) => slots.items(index)).flatMap((slot) => {
    const token = tokenInfoOf(slot);
    if (token === undefined || (token.flags & TOKEN_INITIALIZED) === 0) return [];
    // Labels are padded with blanks to 32 bytes (PKCS#11 v2.40 §3.2 CK_TOKEN_INFO).
    return [{ slot, label: token.label.trimEnd() }];
  });
}

function tokenInfoOf(slot: Slot): ReturnType<Slot['getToken']> | undefined {
  try {
    return slot.getToken();
  } catch {
    return undefined;
  }
}

/** The labels of a module's initialised tokens; it is given up again. @throws OperatorError when there is no such module */
function labelsOf(options: LibraryOptions): readonly string[] {
  const module = loadModule(options.module);
  initialiseLibrary(module, options);
  try {
    return labelledSlots(module).map(({ label }) => label);
  } finally {
    giveUp(() => {
      module.finalize();
    });
  }
}

/** The label of the only token that a module has. @throws OperatorError where there is none, or a choice */
export function tokenLabelOf(options: LibraryOptions): string {
  const labels = labelsOf(options);
  const [label] = labels;
  if (label === undefined)
    throw new OperatorError(`${options.module} has no token that has been initialised.`);
  if (labels.length > 1)
    throw new OperatorError(
      `${options.module} has several tokens, ${quoted(labels)}: name one by --token-label or PKCS11_TOKEN_LABEL.`,
    );
  return label;
}

/** @throws OperatorError where no token has the label, or several have */
export function findSlot(
  module: Module,
  { module: path, tokenLabel }: Pick<TokenOptions, 'module' | 'tokenLabel'>,
): Slot {
  const all = labelledSlots(module);
  const [found, ...others] = all.filter(({ label }) => label === tokenLabel);
  const named = `with the label "${tokenLabel}"`;
  if (found === undefined)
    throw new OperatorError(
      `PKCS11_TOKEN_LABEL: ${path} (PKCS11_MODULE) has no token ${named}: ${all.length === 0 ? 'it has none at all' : `those that it has are ${quoted(all.map(({ label }) => label))}`}.`,
    );
  if (others.length > 0)
    throw new OperatorError(
      `PKCS11_TOKEN_LABEL: ${path} (PKCS11_MODULE) has ${others.length + 1} tokens ${named}.`,
    );
  return found.slot;
}

function quoted(labels: readonly string[]): string {
  return labels.map((label) => `"${label}"`).join(', ');
}
