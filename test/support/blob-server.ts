import { listObjects, type ObjectRequest, type ObjectResponse, partOf } from './object-request.ts';
import { type ObjectServer, startObjectServer } from './object-server.ts';

export const BLOB_SIGNATURE = 'c2lnbmF0dXJl';

/** A SAS token that the server takes. */
export function sasToken(expiry = new Date(Date.now() + 3_600_000)): string {
  return new URLSearchParams({
    sv: '2025-01-05',
    se: expiry.toISOString(),
    sp: 'rwdl',
    sig: BLOB_SIGNATURE,
  }).toString();
}

/** As much of Azure Blob's REST API as the client asks for, over one container of the name `backups`. */
export function startBlobServer(): Promise<ObjectServer> {
  const blocks = new Map<string, Buffer>();
  return startObjectServer((request, objects) => {
    const { method, container, name, query, body } = request;
    if (query.get('sig') !== BLOB_SIGNATURE) return refusal(403, 'AuthenticationFailed');
    if (container !== 'backups') return refusal(404, 'ContainerNotFound');
    const path = `${container}/${name}`;
    if (name === '') return list(objects, request);
    switch (`${method} ${query.get('comp') ?? ''}`) {
      case 'PUT ':
        if (request.header('if-none-match') === '*' && objects.has(path))
          return refusal(409, 'BlobAlreadyExists');
        objects.set(path, body);
        return { status: 201 };
      case 'PUT block':
        blocks.set(`${path} ${query.get('blockid') ?? ''}`, body);
        return { status: 201 };
      case 'PUT blocklist': {
        const ids = [...body.toString().matchAll(/<Latest>(?<id>[^<]*)<\/Latest>/g)];
        const pieces = ids.map(({ groups }) => blocks.get(`${path} ${groups?.['id'] ?? ''}`));
        if (pieces.includes(undefined)) return refusal(400, 'InvalidBlockList');
        objects.set(path, Buffer.concat(pieces as Buffer[]));
        return { status: 201 };
      }
      case 'GET ': {
        const blob = objects.get(path);
        if (blob === undefined) return refusal(404, 'BlobNotFound');
        return partOf(blob, request.header('x-ms-range') ?? request.header('range'));
      }
      case 'DELETE ':
        return objects.delete(path) ? { status: 202 } : refusal(404, 'BlobNotFound');
      default:
        return refusal(400, 'UnsupportedOperation');
    }
  });
}

function list(objects: Map<string, Buffer>, { container, query }: ObjectRequest): ObjectResponse {
  const { names, prefixes } = listObjects(objects, container, query);
  return {
    status: 200,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>${[
      ...prefixes.map((prefix) => `<BlobPrefix><Name>${prefix}</Name></BlobPrefix>`),
      ...names.map((name) => `<Blob><Name>${name}</Name><Properties></Properties></Blob>`),
    ].join('')}</Blobs><NextMarker/></EnumerationResults>`,
  };
}

function refusal(status: number, code: string): ObjectResponse {
  return {
    status,
    headers: { 'x-ms-error-code': code, 'content-type': 'application/xml' },
    body: `<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>no</Message></Error>`,
  };
}
