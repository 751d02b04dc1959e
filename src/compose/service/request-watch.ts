import type { Logger } from 'pino';
import type { AppParts } from '../../http/app.ts';
import type { Metrics } from '../../observability/metrics.ts';

/** Counts the requests that are under way; each answer goes to the metrics and, at `debug`, to the log. */
export function watchRequests(metrics: Pick<Metrics, 'request'>, log: Logger) {
  const logsAnswers = log.isLevelEnabled('debug');
  let underWay = 0;
  const onRequest: AppParts['onRequest'] = () => {
    underWay += 1;
  };
  const onResponse: AppParts['onResponse'] = ({ operation, status, seconds, requestId }) => {
    underWay -= 1;
    metrics.request(operation, status, seconds);
    if (logsAnswers)
      log.debug({ requestId, operation, status, durationMs: seconds * 1000 }, 'answered');
  };
  return { underWay: () => underWay, app: { onRequest, onResponse } };
}
