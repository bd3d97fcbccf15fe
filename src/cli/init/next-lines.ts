import { isServiceConfig } from '../../service-place.ts';
import type { InitAnswers } from './answers.ts';

/** What a person does next with a configuration that was written: with the package's the service runs it. */
export function nextLines(
  file: string,
  {
    users,
    listen,
    acl,
    hasMirror,
  }: Pick<InitAnswers, 'users' | 'listen' | 'acl'> & { readonly hasMirror: boolean },
): string[] {
  const [first] = users;
  const port = /:(\d+)/u.exec(listen[0] ?? '')?.[1] ?? '1883';
  const topic = first === undefined || acl === 'open' ? 'first/test' : `${first.name}/test`;
  const login = first === undefined ? '' : ` -u ${first.name} -P PASSWORD`;
  const isService = isServiceConfig(file);
  const command = (words: string): string =>
    isService ? `sudo gatelog ${words}` : `gatelog ${words} --config ${file}`;
  return [
    '',
    'Next:',
    `  ${isService ? 'sudo systemctl restart gatelog' : `gatelog run --config ${file}`}`,
    `  mosquitto_pub -p ${port}${login} -q 1 -t ${topic} -m hello`,
    `  ${command('consume telemetry')}`,
    ...(hasMirror ? [`  ${command('mirror status')}`] : []),
    `  ${command('doctor')}`,
    '',
    'Its page, on this machine: http://127.0.0.1:9680',
  ];
}
