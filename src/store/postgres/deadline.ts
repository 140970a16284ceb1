/** @throws what `late` makes, where `answer` has not settled within `ms` milliseconds; it is left to itself then */
export async function within<T>(ms: number, answer: Promise<T>, late: () => Error): Promise<T> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(late()), ms)
  try {
    return await Promise.race([answer, tooLate])
  } finally {
    clearTimeout(timer)
  }
}
