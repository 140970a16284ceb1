// The fuzzer: inputs from a grammar, and inputs that did something new changed a little, against what must always hold.
//
//   npm run fuzz -- --minutes 10 [--seed N] [--case targets]
//   npm run fuzz -- --case targets --input <base64>     the one input of a finding again

import { parseArgs } from 'node:util'
import { connectReplies } from './connect-replies.ts'
import { credentials } from './credentials.ts'
import type { FuzzCase } from './fuzz-case.ts'
import { heads } from './heads.ts'
import { cross, mutate } from './mutate.ts'
import { makeRandom, type Random } from './random.ts'
import { sequences } from './sequences.ts'
import { targets } from './targets.ts'

const cases: readonly FuzzCase[] = [targets, credentials, connectReplies, heads, sequences]
/** So long with one case, then the next: all of them get the same time. */
const sliceMs = 500
/** Inputs of one case that are kept to be changed; the oldest make room. */
const maxKept = 4000

type Campaign = {
  readonly fuzzCase: FuzzCase
  readonly kept: Buffer[]
  readonly seen: Set<string>
  inputs: number
}

class Finding extends Error {}

async function runOne({ fuzzCase, kept, seen }: Campaign, input: Buffer, random: Random): Promise<void> {
  let outcome: string
  try {
    outcome = await fuzzCase.run(input, random)
  } catch (cause) {
    const shown = `  npm run fuzz -- --case "${fuzzCase.name}" --input ${input.toString('base64')}`
    throw new Finding(`${fuzzCase.name}: ${(cause as Error).message}\n${shown}`, { cause })
  }
  if (seen.has(outcome)) return
  seen.add(outcome)
  kept.push(input)
  if (kept.length > maxKept) kept.shift()
}

function nextInput({ fuzzCase, kept }: Campaign, random: Random): Buffer {
  if (kept.length === 0 || random.chance(0.5)) return fuzzCase.make(random)
  const input = random.pick(kept)
  return random.chance(0.1) ? cross(input, random.pick(kept), random) : mutate(input, random, fuzzCase.words)
}

async function runSlice(campaign: Campaign, random: Random): Promise<void> {
  const endMs = performance.now() + sliceMs
  while (performance.now() < endMs) {
    // The clock is asked now and then only: most inputs take microseconds.
    for (let turn = 0; turn < 16; turn++) {
      await runOne(campaign, nextInput(campaign, random), random)
      campaign.inputs += 1
    }
  }
}

async function fuzz(chosen: readonly FuzzCase[], minutes: number, random: Random): Promise<void> {
  const campaigns = chosen.map((fuzzCase): Campaign => ({ fuzzCase, kept: [], seen: new Set(), inputs: 0 }))
  const endMs = performance.now() + minutes * 60_000
  try {
    while (performance.now() < endMs) for (const campaign of campaigns) await runSlice(campaign, random)
  } finally {
    for (const { fuzzCase, inputs, seen } of campaigns)
      console.log(`${fuzzCase.name}: ${inputs.toLocaleString('en')} inputs, ${seen.size} outcomes`)
  }
}

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    case: { type: 'string' },
    input: { type: 'string' },
  },
})
const chosen = cases.filter(({ name }) => values.case === undefined || values.case === name)
const [minutes, seed] = [Number(values.minutes), Number(values.seed)]
if (chosen.length === 0 || !(minutes > 0) || !Number.isInteger(seed)) {
  console.error(
    `--minutes and --seed are numbers; --case is one of: ${cases.map(({ name }) => name).join(', ')}`,
  )
  process.exit(2)
}

console.log(`seed ${seed}, ${minutes} minutes`)
const stops = await Promise.all(chosen.map((fuzzCase) => fuzzCase.start?.()))
try {
  const random = makeRandom(seed)
  if (values.input === undefined) await fuzz(chosen, minutes, random)
  else {
    const campaign = { fuzzCase: chosen[0]!, kept: [], seen: new Set<string>(), inputs: 0 }
    await runOne(campaign, Buffer.from(values.input, 'base64'), random)
    console.log([...campaign.seen].join())
  }
  console.log('no finding')
} catch (error) {
  if (!(error instanceof Finding)) throw error
  console.log(`FINDING in ${error.message}`)
  process.exitCode = 1
} finally {
  for (const stop of stops) await stop?.()
}
