import { OperatorError } from '../../core/operator-error.ts';
import { labelsOf, type TokenOptions } from './token.ts';

/** The label of the only token that a module has. @throws OperatorError where there is none, or a choice */
export function tokenLabelOf(options: Omit<TokenOptions, 'tokenLabel'>): string {
  const labels = labelsOf(options);
  const [label] = labels;
  if (label === undefined)
    throw new OperatorError(`${options.module} has no token that has been initialised.`);
  if (labels.length > 1)
    throw new OperatorError(
      `${options.module} has several tokens, ${labels.map((each) => `"${each}"`).join(', ')}: name one by --token-label or PKCS11_TOKEN_LABEL.`,
    );
  return label;
}
