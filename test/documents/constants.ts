import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { ROOT } from './documents.ts';

/**
 * The value of a constant of the source, exported or not: `src/http/route.ts#BODY_LIMIT`, or a member of it,
 * `src/audit/refusal-limit.ts#REFUSAL_LIMITS.perAddress`. Knows numbers, texts, arithmetic, objects and other constants of
 * the same file.
 * @throws Error where there is no such constant, or one that isn't of that kind
 */
export function constantAt(place: string): number | string {
  const [path = '', constant = ''] = place.split('#');
  const text = readFileSync(join(ROOT, path), 'utf8');
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const [name = '', ...members] = constant.split('.');
  let found: ts.Expression = initializerOf(file, name);
  for (const member of members) found = memberOf(file, found, member);
  return valueOf(file, found);
}

function valueOf(file: ts.SourceFile, expression: ts.Expression): number | string {
  const plain = unwrapped(expression);
  if (ts.isNumericLiteral(plain)) return Number(plain.text);
  if (ts.isStringLiteral(plain)) return plain.text;
  if (ts.isIdentifier(plain)) return valueOf(file, initializerOf(file, plain.text));
  if (ts.isPropertyAccessExpression(plain))
    return valueOf(file, memberOf(file, plain.expression, plain.name.text));
  if (ts.isBinaryExpression(plain)) {
    const [left, right] = [valueOf(file, plain.left), valueOf(file, plain.right)].map(Number);
    const act = ARITHMETIC[plain.operatorToken.getText(file)];
    if (act !== undefined && left !== undefined && right !== undefined) return act(left, right);
  }
  throw new Error(`${file.fileName}: ${plain.getText(file)} is no constant that is known here.`);
}

const ARITHMETIC: Readonly<Record<string, (left: number, right: number) => number>> = {
  '*': (left, right) => left * right,
  '**': (left, right) => left ** right,
  '+': (left, right) => left + right,
  '-': (left, right) => left - right,
  '/': (left, right) => left / right,
};

/** Of `const name = …`, at the top of the file. */
function initializerOf(file: ts.SourceFile, name: string): ts.Expression {
  const declarations = file.statements
    .filter((statement) => ts.isVariableStatement(statement))
    .flatMap(({ declarationList }) => [...declarationList.declarations]);
  const found = declarations.find((one) => one.name.getText(file) === name)?.initializer;
  if (found === undefined) throw new Error(`${file.fileName} has no constant ${name}.`);
  return found;
}

/** A member of an object. */
function memberOf(file: ts.SourceFile, expression: ts.Expression, name: string): ts.Expression {
  const plain = unwrapped(expression);
  if (ts.isIdentifier(plain)) return memberOf(file, initializerOf(file, plain.text), name);
  const members = ts.isObjectLiteralExpression(plain) ? plain.properties : [];
  for (const member of members)
    if (ts.isPropertyAssignment(member) && member.name.getText(file) === name)
      return member.initializer;
  throw new Error(`${file.fileName}: ${plain.getText(file)} has no member ${name}.`);
}

/** Without brackets, and what is said of its type. */
function unwrapped(expression: ts.Expression): ts.Expression {
  return ts.isParenthesizedExpression(expression) ||
    ts.isAsExpression(expression) ||
    ts.isSatisfiesExpression(expression)
    ? unwrapped(expression.expression)
    : expression;
}
