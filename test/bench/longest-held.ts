import t from 'tap'
import { farthestApart, longestHeld, type Look } from '../../bench/fixtures/longest-held.ts'

/** Looks of 1 ms, 10 ms apart; of each, who was in the way. */
function looks(...holders: readonly string[]): Look[] {
  return holders.map((said, index) => ({
    askedMs: index * 10,
    answeredMs: index * 10 + 1,
    holders: said === '' ? [] : said.split(' '),
  }))
}

const cases: readonly { name: string; looks: readonly Look[]; heldMs: number }[] = [
  { name: 'never looked', looks: [], heldMs: 0 },
  { name: 'never locked', looks: looks('', '', ''), heldMs: 0 },
  { name: 'locked in one look: from the one before to the one after', looks: looks('', 'a', ''), heldMs: 21 },
  { name: 'locked in two', looks: looks('', 'a', 'a', ''), heldMs: 31 },
  { name: 'the longest of two', looks: looks('', 'a', '', 'b', 'b', ''), heldMs: 31 },
  { name: 'one after the other is not one', looks: looks('', 'a', 'b', 'c', ''), heldMs: 21 },
  { name: 'two at once', looks: looks('', 'a', 'a b', 'a b', 'b', ''), heldMs: 41 },
  { name: 'locked when first looked', looks: looks('a', ''), heldMs: 11 },
  { name: 'and still when last looked', looks: looks('', 'a', 'a'), heldMs: 21 },
]

for (const { name, looks, heldMs } of cases)
  t.test(name, async (t) => {
    t.equal(longestHeld(looks), heldMs)
  })

t.test('what nobody saw fits between two looks', async (t) => {
  t.equal(farthestApart([]), 0)
  t.equal(farthestApart(looks('')), 0)
  const late: Look = { askedMs: 80, answeredMs: 83, holders: [] }
  t.equal(farthestApart([...looks('', ''), late]), 73)
})
