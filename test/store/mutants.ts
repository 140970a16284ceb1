// The simulation in pins-properties.ts is only worth what it can catch. Each row breaks the Lua on purpose, in the
// way that somebody might by mistake; the run must then fail, and with the rule that the row names.

import fc from 'fast-check'
import t from 'tap'
import { anyScript, simulate } from '../fixtures/pins-simulation.ts'
import type { World } from '../fixtures/pins-simulation.ts'
import { redisWorld } from '../fixtures/pins-worlds.ts'
import type { ChangeLua } from '../fixtures/pins-worlds.ts'
import { redisFor } from '../fixtures/redis-under-test.ts'

const runs = 300
/** Always the same scripts, so that a mutant is caught each time or never. */
const seed = 13

const redis = await redisFor(t)

type Edit = { readonly file: string; readonly from: string; readonly to: string }
type Mutant = {
  readonly name: string
  readonly breaks: RegExp
  readonly edits: readonly Edit[]
  readonly only?: string
}

const mutants: Mutant[] = [
  {
    name: 'who is new enters at the head of the ring',
    breaks: /^13\.4: up-\d+ came up in \S+ before/,
    edits: [
      {
        file: 'ring',
        from: 'for _, id in ipairs(eligibleIds) do enter(id) end\n  redis',
        to: 'for _, id in ipairs(eligibleIds) do if wanted[id] then table.insert(ids, 1, id) end wanted[id] = nil end\n  redis',
      },
    ],
  },
  {
    name: 'a ring is built anew at each version, its order forgotten',
    breaks: /^13\.4: up-\d+ came up in \S+ before/,
    edits: [
      {
        file: 'ring',
        from: "for _, id in ipairs(redis.call('LRANGE', ring, 0, -1)) do enter(id) end",
        to: '',
      },
    ],
  },
  {
    name: "one gateway's clock, an hour ahead, is used instead of Redis's",
    breaks: /^13\.1: job-\d/,
    edits: [{ file: 'clock', from: "')) end", to: "')) + 3600000 end" }],
    only: 'gw-1',
  },
  {
    name: 'a pin moves without comparing where it stands',
    breaks: /^13\.1: job-\d may not move/,
    edits: [{ file: 'move-pin', from: 'pin.u ~= from or', to: 'false or' }],
  },
  {
    name: 'a pin moves though a tunnel has opened, or another gateway made it',
    breaks: /^13\.1: job-\d may not move/,
    edits: [{ file: 'move-pin', from: 'return pin.by == gateway', to: 'return true' }],
  },
  {
    name: 'a moved pin is left fresh when it is used',
    breaks: /^13\.1: job-\d used: fresh by/,
    edits: [{ file: 'use-pin', from: 'pin.by = nil', to: '' }],
  },
  {
    name: 'a pin is given to a caller with an old snapshot',
    breaks: /^13\.2: a turn under version/,
    edits: [
      {
        file: 'ring',
        from: "if tonumber(version) < current then return nil, { 'stale', current } end",
        to: '',
      },
    ],
  },
  {
    name: 'a ring of an older version is used as it is',
    breaks: /^13\.(2: a turn from a ring|4: up-\d+ came up in \S+ before)/,
    edits: [{ file: 'ring', from: "== version .. ' ' .. redis.call('LLEN', ring)", to: '~= false' }],
  },
  {
    name: 'a job is pinned anew though its pin lives',
    breaks: /^13\.1: job-\d is (not gone|on up-\d+ and)/,
    edits: [
      { file: 'pin-record', from: 'if expiresAt <= now then', to: 'if expiresAt <= now + 120000 then' },
    ],
  },
  {
    name: 'a pin outlives its longest life',
    breaks: /^13\.1: job-\d.*: lives/,
    edits: [{ file: 'pin-record', from: 'math.min(now + idleMs, pin.at + maxLifeMs)', to: 'now + idleMs' }],
  },
  {
    name: 'a refused upstream is taken',
    breaks: /^13\.4: up-\d+ was refused and taken/,
    edits: [{ file: 'ring', from: 'skip[id] = true', to: '' }],
  },
  {
    name: 'a refused upstream keeps its turn',
    breaks: /^13\.4: (up-\d+ came up in \S+ before|none was given)/,
    edits: [
      {
        file: 'ring',
        from: 'return nil, isSound\nend',
        to: "redis.call('LMOVE', ring, ring, 'RIGHT', 'LEFT')\n  return nil, isSound\nend",
      },
    ],
  },
  {
    name: 'a moved pin is still counted where it was',
    breaks: /^13\.4: counts are/,
    edits: [{ file: 'move-pin', from: 'countDown(pin.u)', to: '' }],
  },
  {
    name: 'an expired pin that is replaced is still counted',
    breaks: /^13\.4: counts are/,
    edits: [
      { file: 'pin-job', from: 'if expired then dropPin(job, decodePin(expired)) end', to: '' },
      { file: 'pin-job', from: 'sweepExpired(sweptPerPin, now)', to: '' },
    ],
  },
  {
    name: 'an upstream that has left is not noticed',
    breaks: /^13\.1: up-\d+ has left/,
    edits: [{ file: 'pin-job', from: 'if has(pin.u) then', to: 'if true then' }],
  },
  {
    name: 'an older snapshot replaces a newer one',
    breaks: /^13\.2: version \d+ stands/,
    edits: [{ file: 'publish', from: 'if tonumber(version) <= current then return current end', to: '' }],
  },
]

for (const { name, breaks, edits, only } of mutants) {
  t.test(`caught: ${name}`, async (t) => {
    const changeLua: ChangeLua = (file, lua, gatewayId) => {
      if (only !== undefined && only !== gatewayId) return lua
      return edits.filter((edit) => edit.file === file).reduce(applyEdit, lua)
    }
    t.match(await violation(() => redisWorld(redis, changeLua)), breaks)
  })
}

t.test('caught: the turn is taken by LPOP and RPUSH, as two calls', async (t) => {
  const changeLua: ChangeLua = (file, lua) => (file === 'ring' ? twoCalls.reduce(applyEdit, lua) : lua)
  t.match(await violation(() => withSecondCall(redisWorld(redis, changeLua))), /^13\.4: /)
})

t.test('not caught: the Lua as it is', async (t) => {
  t.equal(await violation(() => redisWorld(redis), 30), 'no violation')
})

const twoCalls: Edit[] = [
  { file: 'ring', from: "redis.call('LMOVE', ring, ring, 'LEFT', 'RIGHT')", to: "redis.call('LPOP', ring)" },
  { file: 'ring', from: 'for _ = 1, redis.call', to: 'for _ = 1, 1 + redis.call' },
  {
    file: 'ring',
    from: 'elseif not skip[id] then\n      return id, isSound\n    end',
    to: "elseif not skip[id] then return id, isSound end redis.call('RPUSH', ring, id)",
  },
  { file: 'ring', from: 'if not has(id)', to: 'if not id then return nil, isSound end if not has(id)' },
  // Without this the missing id would be noticed, and the ring rebuilt.
  {
    file: 'ring',
    from: "return redis.call('HGET', rings, lane) == version .. ' ' .. redis.call('LLEN', ring)",
    to: "return string.match(redis.call('HGET', rings, lane) or '', '^%d+') == version",
  },
]

/** The gateway pushes the id that it took back to the tail, some time later. */
function withSecondCall(world: World & { readonly fleet: string }): World {
  return {
    ...world,
    async open(gatewayId, later) {
      const store = await world.open(gatewayId, later)
      const pushBack = (type: string | null, institution: string | null, upstreamId: string) =>
        later(() =>
          redis.raw.rpush(`lk:{${world.fleet}}:ring:${type ?? '*'}:${institution ?? '*'}`, upstreamId),
        )
      return {
        ...store,
        pins: {
          ...store.pins,
          async pin(request) {
            const answer = await store.pins.pin(request)
            const { type, institution } = request.job
            if (answer.kind === 'pinned' && !answer.reused) pushBack(type, institution, answer.pin.upstreamId)
            return answer
          },
          async move(request) {
            const answer = await store.pins.move(request)
            const { type, institution } = request.job
            if (answer.kind === 'moved') pushBack(type, institution, answer.pin.upstreamId)
            return answer
          },
        },
      }
    },
  }
}

function applyEdit(lua: string, { file, from, to }: Edit): string {
  if (lua.split(from).length !== 2) throw new Error(`${file}.lua does not hold this once: ${from}`)
  return lua.replace(from, () => to)
}

/** What the first failing run broke; not shrunk, since only the rule matters here. */
async function violation(open: () => World, numRuns = runs): Promise<string> {
  const property = fc.asyncProperty(anyScript, async (script) => {
    const world = open()
    try {
      await simulate(world, script)
    } finally {
      await world.close()
    }
  })
  const { errorInstance } = await fc.check(property, { numRuns, seed, endOnFailure: true })
  return errorInstance instanceof Error ? errorInstance.message : 'no violation'
}
