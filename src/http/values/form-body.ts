import { promisify } from 'node:util';
import { urlencoded, type Request, type Response } from 'express';
import type { BodyReader } from './json-body.ts';
import { spellCharset } from './charset.ts';

/** A certificate assertion with its chain is the largest form that clients send. */
const FORM_LIMIT = '64kb';

const parseForm = promisify(
  urlencoded({ extended: false, limit: FORM_LIMIT, parameterLimit: 100 }),
) as (req: Request, res: Response) => Promise<void>;

/** Reads a form (application/x-www-form-urlencoded); what has another type counts as an empty one. */
export const readForm: BodyReader = async (req, res) => {
  spellCharset(req);
  await parseForm(req, res);
  return (req.body as unknown) ?? {};
};
