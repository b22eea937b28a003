/** Microseconds of the machine's monotonic clock: the same in every process, and nobody sets it. */
export function machineMicroseconds(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1000;
}
