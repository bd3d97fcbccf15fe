/** Fetches Kafka's jars, and archives their classes, if that is missing; called by `npm test` before anything needs them. */
import { makeClassArchive } from './class-archive.ts';
import { fetchJars, KAFKA_VERSION, LIB } from './jars.ts';

try {
  await fetchJars((line) => process.stdout.write(`${line}\n`));
  await makeClassArchive();
  process.stdout.write(`Apache Kafka ${KAFKA_VERSION} is in ${LIB}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
