// npm run demo: Lanekeeper at work, on this machine alone. Either where its jobs go (rotation.ts), or how its machines
// come and go under them (fleet.ts).

import { parseArgs } from 'node:util'
import { demonstrateFleet } from './fleet.ts'
import { demonstrateRotation } from './rotation.ts'

const help = `npm run demo [-- --redis redis://127.0.0.1:6379]

  24 jobs of 5 requests over four upstreams, two lanes and two rules; about 5 seconds.
  Without --redis one process does everything. With it, two gateways and a control share that Redis, and the
  requests of each job go to both gateways at random. It uses the fleet "demo" there.

npm run demo -- --fleet

  The whole life of a fleet under load, on a Compute Engine of this machine (Linux with tinyproxy, from a checkout):
  four machines are made, one is drained and deleted, one is killed behind Lanekeeper's back; about 40 seconds.

Both show what the jobs saw, and check it: exit code 0 if all is as it should be, else 1.
`

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { fleet: { type: 'boolean' }, redis: { type: 'string' }, help: { type: 'boolean' } },
  })
  if (values.help) {
    process.stdout.write(help)
    return 0
  }
  if (values.fleet && values.redis !== undefined)
    throw new Error('--fleet is one process with pins of its own, so it takes no --redis.')
  return values.fleet ? demonstrateFleet() : demonstrateRotation(values.redis ?? null)
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`The demo failed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
