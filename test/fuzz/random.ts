// Chance that can be had again: the same seed, the same inputs.

export type Random = {
  /** From 0 to n - 1. */
  int(n: number): number
  pick<T>(choices: readonly T[]): T
  chance(share: number): boolean
}

/** mulberry32, https://gist.github.com/tommyettinger/46a874533244883189143505d203312c */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const int = (n: number) => Math.floor(next() * n)
  return { int, pick: (choices) => choices[int(choices.length)]!, chance: (share) => next() < share }
}

/** Some of them, one behind the other: up to `most`. */
export function several(random: Random, most: number, one: () => string): string {
  return Array.from({ length: random.int(most + 1) }, one).join('')
}
