const POLL_MS = 10;

/** Polls a condition; its limit is a guard against hanging for ever, not an expectation. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  withinMs: number,
  describe: () => string,
): Promise<void> {
  const started = performance.now();
  while (!(await condition())) {
    if (performance.now() - started > withinMs) {
      throw new Error(`not within ${withinMs} ms: ${describe()}`);
    }
    await pause(POLL_MS);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** The promise's value, or undefined when it does not settle in time. */
export async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => late.resolve(undefined), ms);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
