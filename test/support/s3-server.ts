import { listObjects, type ObjectRequest, type ObjectResponse, partOf } from './object-request.ts';
import { type ObjectServer, startObjectServer } from './object-server.ts';

export const S3_CREDENTIALS = { accessKeyId: 'strongroom', secretAccessKey: 'a secret of tests' };

/**
 * As much of S3's REST API as the client asks for, over one bucket of the name `backups`. Of signatures it looks at the
 * name of the key alone.
 */
export function startS3Server(): Promise<ObjectServer> {
  const uploads = new Map<string, Map<number, Buffer>>();
  return startObjectServer((request, objects) => {
    const { method, container, name, query, body } = request;
    const credential = `Credential=${S3_CREDENTIALS.accessKeyId}/`;
    if (request.header('authorization')?.includes(credential) !== true)
      return refusal(403, 'InvalidAccessKeyId');
    if (container !== 'backups') return refusal(404, 'NoSuchBucket');
    const path = `${container}/${name}`;
    const uploadId = query.get('uploadId') ?? '';
    const upload = uploads.get(uploadId);
    if (query.has('uploads')) {
      const id = String(uploads.size + 1);
      uploads.set(id, new Map());
      return xml(
        `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    if (query.has('uploadId') && upload === undefined) return refusal(404, 'NoSuchUpload');
    if (upload !== undefined)
      switch (method) {
        case 'PUT':
          upload.set(Number(query.get('partNumber')), body);
          return { status: 200, headers: { etag: `"${query.get('partNumber') ?? ''}"` } };
        case 'POST':
          objects.set(
            path,
            Buffer.concat([...upload].sort(([a], [b]) => a - b).map(([, part]) => part)),
          );
          return xml(
            '<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>',
          );
        default:
          uploads.delete(uploadId);
          return { status: 204 };
      }
    if (query.has('delete')) {
      for (const { groups } of body.toString().matchAll(/<Key>(?<key>[^<]*)<\/Key>/g))
        objects.delete(`${container}/${groups?.['key'] ?? ''}`);
      return xml('<DeleteResult/>');
    }
    if (query.has('list-type')) return list(objects, request);
    const object = objects.get(path);
    switch (method) {
      case 'PUT':
        if (request.header('if-none-match') === '*' && object !== undefined)
          return refusal(412, 'PreconditionFailed');
        objects.set(path, body);
        return { status: 200, headers: { etag: '"1"' } };
      case 'DELETE':
        objects.delete(path);
        return { status: 204 };
      default:
        return object === undefined
          ? refusal(404, 'NoSuchKey')
          : partOf(object, request.header('range'));
    }
  });
}

function list(objects: Map<string, Buffer>, { container, query }: ObjectRequest): ObjectResponse {
  const { names, prefixes } = listObjects(objects, container, query);
  return xml(
    `<ListBucketResult><IsTruncated>false</IsTruncated>${[
      ...names.map((name) => `<Contents><Key>${name}</Key></Contents>`),
      ...prefixes.map((prefix) => `<CommonPrefixes><Prefix>${prefix}</Prefix></CommonPrefixes>`),
    ].join('')}</ListBucketResult>`,
  );
}

function xml(body: string, status = 200): ObjectResponse {
  return {
    status,
    headers: { 'content-type': 'application/xml' },
    body: `<?xml version="1.0" encoding="UTF-8"?>${body}`,
  };
}

function refusal(status: number, code: string): ObjectResponse {
  return xml(`<Error><Code>${code}</Code><Message>no</Message></Error>`, status);
}
