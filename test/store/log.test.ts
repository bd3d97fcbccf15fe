import { describeReading } from '../support/log-reading.suite.ts';
import { describeLog } from '../support/log.suite.ts';
import { inMemory, onDisk } from '../support/store-kit.ts';

for (const factory of [onDisk, inMemory]) {
  describeLog(factory);
  describeReading(factory);
}
