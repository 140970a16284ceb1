// What is fuzzed: how inputs are made, and what must hold of each.

import type { Random } from './random.ts'

export type FuzzCase = {
  readonly name: string
  /** The language's own words, for changed inputs. */
  readonly words: readonly string[]
  /** A new input, from the grammar. */
  make(random: Random): Buffer
  /**
   * @returns what came of it, in few words; an input whose words are new is kept and changed further
   * @throws where something came of it that must not
   */
  run(input: Buffer, random: Random): string | Promise<string>
  /** Before the first input, where it needs servers. @returns what ends them */
  start?(): Promise<() => Promise<void>>
}

/** What quotes repeat is another each time; what is said around it is not. */
export function inFewWords(text: string): string {
  return text
    .replace(/"(?:[^"\\]|\\.)*"/g, '"..."')
    .replace(/\d+/g, 'n')
    .slice(0, 120)
}
