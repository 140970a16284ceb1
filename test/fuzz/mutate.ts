// An input that did something new, a little changed: what the grammar did not think of.

import type { Random } from './random.ts'

const longest = 40_000

type Change = (input: Buffer, random: Random, words: readonly string[]) => Buffer

const changes: readonly Change[] = [
  function flip(input, random) {
    const copy = Buffer.from(input)
    if (copy.length > 0) copy[random.int(copy.length)]! ^= 1 << random.int(8)
    return copy
  },
  function overwrite(input, random) {
    const copy = Buffer.from(input)
    if (copy.length > 0) copy[random.int(copy.length)] = random.int(256)
    return copy
  },
  function insertWord(input, random, words) {
    const at = random.int(input.length + 1)
    return Buffer.concat([
      input.subarray(0, at),
      Buffer.from(random.pick(words), 'latin1'),
      input.subarray(at),
    ])
  },
  function remove(input, random) {
    const [from, to] = range(input, random)
    return Buffer.concat([input.subarray(0, from), input.subarray(to)])
  },
  function repeat(input, random) {
    const [from, to] = range(input, random)
    const times = random.chance(0.02) ? 1000 : 1 + random.int(4)
    const part = input.subarray(from, to)
    return Buffer.concat([input.subarray(0, to), ...Array<Buffer>(times).fill(part), input.subarray(to)])
  },
  function swapCase(input, random) {
    const copy = Buffer.from(input)
    if (copy.length > 0) copy[random.int(copy.length)]! ^= 0x20
    return copy
  },
]

/** @param words  of the language that is spoken: what is inserted is often one of these */
export function mutate(input: Buffer, random: Random, words: readonly string[]): Buffer {
  let mutated = input
  for (let left = 1 + random.int(4); left > 0; left--) mutated = random.pick(changes)(mutated, random, words)
  return mutated.subarray(0, longest)
}

/** The beginning of one and the end of another. */
export function cross(a: Buffer, b: Buffer, random: Random): Buffer {
  return Buffer.concat([a.subarray(0, random.int(a.length + 1)), b.subarray(random.int(b.length + 1))])
}

function range(input: Buffer, random: Random): [from: number, to: number] {
  const from = random.int(input.length + 1)
  return [from, Math.min(input.length, from + 1 + random.int(16))]
}
