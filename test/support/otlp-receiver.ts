import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type OtlpMetric, readMetricsRequest, type Attributes } from './otlp-request.ts';

export interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly path: string;
  readonly resource: Attributes;
  readonly metrics: readonly OtlpMetric[];
}

/** What a collector does with OTLP over HTTP: it takes metrics as protobuf, or does not. */
export class OtlpReceiver {
  readonly received: Received[] = [];
  /** undefined: it never answers. */
  status: number | undefined = 200;
  /** Requests that came, those that were refused included. */
  asked = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async open(): Promise<OtlpReceiver> {
    const server = createServer();
    const receiver = new OtlpReceiver(server);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { headers, url = '' } = request;
        receiver.#take(headers, url, Buffer.concat(chunks), response);
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return receiver;
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/v1/metrics`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #take(headers: IncomingHttpHeaders, path: string, body: Buffer, response: ServerResponse): void {
    this.asked++;
    if (this.status === undefined) return;
    if (this.status === 200) this.received.push({ headers, path, ...readMetricsRequest(body) });
    // An empty ExportMetricsServiceResponse.
    response.writeHead(this.status, { 'content-type': 'application/x-protobuf' }).end();
  }
}
