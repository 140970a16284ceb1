import { createServer } from 'node:net'
import t from 'tap'
import { makePlaces } from '../../src/provider/local-places.ts'
import { listen } from '../fixtures/listen.ts'
import { rejectsWith } from '../fixtures/provider-contract.ts'

const host = '127.0.0.1'

t.test('a port that is taken is passed over', async (t) => {
  const { port, close } = await listenBelowEphemeral()
  t.teardown(close)
  const { port: next } = makePlaces({ host, random: sequence([(port - 20_000) / 12_000 + 1e-6, 0.5]) })
  t.equal(await next(), 26_000)
})

t.test('no port is handed out twice, even while nobody has taken it yet', async (t) => {
  const places = makePlaces({ host, random: sequence([0.25, 0.25, 0.75]) })
  t.not(await places.port(), await places.port())
})

t.test('when no port is found, it says where it looked', async (t) => {
  const places = makePlaces({ host, random: () => 0.3 })
  await places.port()
  await rejectsWith(t, places.port(), 'no_capacity', /No free port.*20000 to 31999/)
})

t.test('a source address is nobody else’s, nor one that the system uses', async (t) => {
  const places = makePlaces({ host, random: sequence([0, 0, 0, 0.5, 0.999, 0.999]) })
  t.equal(places.source(new Set(['127.0.2.2'])), '127.0.2.128')
  t.equal(places.source(new Set()), '127.0.254.254')
  const same = makePlaces({ host, random: () => 0 })
  same.source(new Set())
  t.throws(() => same.source(new Set()), { code: 'no_capacity' })
})

/** The numbers in order, the last one for ever. */
function sequence(numbers: readonly number[]): () => number {
  let next = 0
  return () => numbers[Math.min(next++, numbers.length - 1)] ?? 0
}

async function listenBelowEphemeral() {
  for (let port = 20_001; ; port += 1) {
    try {
      return await listen(createServer(), { port })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}
