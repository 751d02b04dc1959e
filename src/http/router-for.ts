import express, { type Express, type Request, type Router } from 'express';

/**
 * A router of its own for routes of one kind. Express holds a request against the pattern of every route before its own,
 * and there are a hundred: `isOfKind` says at once that none of these can match. A request that isn't of the kind, or that
 * none of them takes, goes on as if they stood in the application itself.
 */
export function routerFor(app: Express, isOfKind: (req: Request) => boolean): Router {
  const router = express.Router();
  const entrance: express.RequestHandler = (req, res, next) => {
    // A router would answer an OPTIONS that it has no route for by itself.
    if (isOfKind(req) && req.method !== 'OPTIONS') router(req, res, next);
    else next();
  };
  // Where a router has its routes: who lists those of the application finds them.
  app.use(Object.assign(entrance, { stack: router.stack }));
  return router;
}
