import type { BadConfig } from './bad-configs.ts';

const TOKEN = '0123456789abcdef';

/** The same for the HTTP side. */
export const BAD_HTTP_CONFIGS: readonly BadConfig[] = [
  {
    name: 'an HTTP address that everybody can read',
    text: 'http: {listen: ["http://0.0.0.0:9680"], allowPlain: true}\n',
    lines: [
      'bad.yaml:1:17: http.listen[0]: expected http.token or http.adminToken, found neither: anybody who reaches http://0.0.0.0:9680 could read what devices send',
    ],
  },
  {
    name: 'tokens that go readable for all',
    text: `http:\n  token: ${TOKEN}\n  listen: ["http://[::]"]\n`,
    lines: [
      'bad.yaml:3:12: http.listen[0]: expected https, found http: tokens would go readable for all. Name a certificate (http.tls), or write http.allowPlain: true if something before the agent has one',
    ],
  },
  {
    name: 'https without a certificate',
    text: `http: {token: ${TOKEN}, listen: ["https://gateway.example.com"]}\n`,
    lines: [
      'bad.yaml:1:7: http.tls: expected cert and key, found nothing: https://gateway.example.com is with TLS',
    ],
  },
  {
    name: 'an HTTP address that is none, and one twice',
    text: 'http:\n  listen: ["127.0.0.1:9680", "http://localhost/page", "mqtt://localhost"]\n',
    lines: [
      'bad.yaml:2:12: http.listen[0]: expected an address such as http://127.0.0.1:9680 (or https), found "127.0.0.1:9680"',
      'bad.yaml:2:30: http.listen[1]: expected an address such as http://127.0.0.1:9680 (or https), found "http://localhost/page"',
      'bad.yaml:2:55: http.listen[2]: expected an address such as http://127.0.0.1:9680 (or https), found "mqtt://localhost"',
    ],
  },
  {
    name: 'a token that can be guessed, which is not shown',
    text: 'http: {adminToken: hunter2}\n',
    lines: [
      'bad.yaml:1:20: http.adminToken: expected a token of 16 to 512 printable characters without blanks, such as openssl rand -hex 32 gives, found a text that is not shown',
    ],
  },
  {
    name: 'a name with a port',
    text: 'http: {hosts: ["gateway.example.com:9680"]}\n',
    lines: [
      'bad.yaml:1:16: http.hosts[0]: expected a name without a port, such as gateway-7.example.com, found "gateway.example.com:9680"',
    ],
  },
  {
    name: 'http as a word',
    text: 'http: yes\n',
    lines: ['bad.yaml:1:7: http: expected false or a map of options, found "yes"'],
  },
];
