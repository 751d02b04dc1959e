import type { Tracing } from '../core/tracing.ts';

/** Spans that wait to be sent; more are dropped. */
const QUEUE_LIMIT = 2_048;
const EXPORT_LIMIT_MS = 10_000;

/**
 * Spans by OpenTelemetry, sent by OTLP over HTTP to `url`. Its libraries are loaded only here, where somebody has asked for
 * them. Attributes are the operation's name, the status and the request id: nothing that a caller sent, and no key.
 */
export async function openTracing(url: string): Promise<Tracing> {
  const [api, sdk, otlp, resources] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ]);
  const provider = new sdk.NodeTracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': 'strongroom' }),
    spanProcessors: [
      new sdk.BatchSpanProcessor(
        new otlp.OTLPTraceExporter({ url, timeoutMillis: EXPORT_LIMIT_MS }),
        { maxQueueSize: QUEUE_LIMIT },
      ),
    ],
  });
  // With the context manager of Node's AsyncLocalStorage, and W3C's propagator.
  provider.register();
  const tracer = provider.getTracer('strongroom');
  const { context, propagation, trace, SpanKind, SpanStatusCode } = api;

  return {
    request(traceparent, act) {
      const carrier = traceparent === undefined ? {} : { traceparent };
      const parent = propagation.extract(context.active(), carrier);
      const span = tracer.startSpan('request', { kind: SpanKind.SERVER }, parent);
      context.with(trace.setSpan(parent, span), () => {
        act({
          end(operation, status, requestId) {
            span.updateName(operation);
            span.setAttributes({
              'http.response.status_code': status,
              'strongroom.request_id': requestId,
            });
            if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
            span.end();
          },
        });
      });
    },

    step: (name, act) =>
      tracer.startActiveSpan(name, async (span) => {
        try {
          return await act();
        } catch (error) {
          // The message may hold what a caller sent.
          span.setStatus({ code: SpanStatusCode.ERROR });
          throw error;
        } finally {
          span.end();
        }
      }),

    close: () => provider.shutdown(),
  };
}
