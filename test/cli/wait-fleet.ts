import t from 'tap'
import type { Api, Query } from '../../src/cli/api.ts'
import type { Fleet } from '../../src/cli/shapes.ts'
import { endOfSizing, sizeOf, waitForSize } from '../../src/cli/wait-fleet.ts'
import { makeQuickClock } from '../fixtures/command-line.ts'

const fleet = (states: Partial<Fleet['states']>, wanted: number | null = 3): Fleet => ({
  wanted,
  states: { provisioning: 0, running: 3, draining: 0, deleting: 0, failed: 0, ...states },
  ejected: 0,
  quarantined: 0,
  version: 7,
})

t.test('when the fleet has its size', async (t) => {
  const rows: [name: string, fleet: Fleet, isReached: boolean | null][] = [
    ['as many as wanted run', fleet({}), true],
    ['some failed, which others stand for', fleet({ failed: 2 }), true],
    ['some are being made', fleet({ provisioning: 1 }), null],
    ['some drain', fleet({ draining: 1 }), null],
    ['some are being deleted', fleet({ deleting: 1 }), null],
    ['too few', fleet({ running: 2 }), null],
    ['too many', fleet({ running: 4 }), null],
    ['another size is wanted now', fleet({}, 4), false],
    ['no size is wanted any more', fleet({}, null), false],
  ]
  for (const [name, found, isReached] of rows)
    t.equal(endOfSizing(found, 3)?.isReached ?? null, isReached, name)
  t.match(endOfSizing(fleet({}, 4), 3)?.text, /^is to have 4 upstreams now: somebody/)
  t.match(endOfSizing(fleet({}, null), 3)?.text, /^is to have as many upstreams as there are now/)
  t.match(endOfSizing(fleet({}), 3)?.text, 'has 3 upstreams running')
  t.equal(sizeOf(1), '1 upstream')
})

t.test('the counts are shown, and those on their way each by itself', async (t) => {
  const found = [
    fleet({ running: 2, provisioning: 1, failed: 1 }),
    fleet({ draining: 1, failed: 1 }),
    fleet({ failed: 1 }),
  ]
  const asked: (Query | string)[] = []
  const shown: string[][] = []
  const api = {
    get: async () => found.shift(),
    list: async (_: string, query: Query) => {
      asked.push(query)
      return {
        items: [{ id: `up-${query['state']}`, ...query, host: null, pins: 1, tunnels: 0 }],
        next: null,
      }
    },
  } as unknown as Pick<Api, 'get' | 'list'>
  const end = await waitForSize(api, 3, {
    show: (lines) => shown.push(lines.map(({ subject, text }) => `${subject} ${text}`)),
    clock: makeQuickClock(),
    withinMs: null,
  })
  t.match(end, { end: { isReached: true }, fleet: { version: 7 } })
  t.strictSame(shown, [
    [
      'fleet 2 of 3 running, 1 provisioning, 1 failed',
      'up-provisioning provisioning: waiting for its machine',
    ],
    ['fleet 3 of 3 running, 1 draining, 1 failed', 'up-draining draining'],
    ['fleet 3 of 3 running, 1 failed'],
  ])
  t.strictSame(asked, [{ state: 'provisioning' }, { state: 'draining' }])
})
