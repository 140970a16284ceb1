// Adding, replacing and removing restrictions: refused where that would be a mistake, else one transaction. What
// is published and which jobs are evicted follows from the records, by the passes of control.

import { ControlError } from '../errors.ts'
import type {
  Author,
  ChangeRequest,
  FleetContent,
  FleetRecords,
  Outcome,
  RestrictionRecord,
  Step,
} from '../store/records.ts'
import type { Pins } from '../store/store.ts'
import type { Lane, Restriction } from '../types.ts'
import { restrictionOf } from './publish.ts'
import { refuseNamingNothing, refuseStranding } from './rule-check.ts'

/** @typeParam T  what the verb answers */
export type Asked<T> = Pick<ChangeRequest<T>, 'keep'> & { readonly author: Author }

export type RuleOptions = {
  /** Also where the rule selects nothing, or leaves a lane in use without upstream. */
  readonly force: boolean
  /** Release the jobs that fit the rules no longer. */
  readonly evict: boolean
}

type Parts = {
  readonly fleet: FleetRecords
  readonly pins: Pick<Pins, 'lanes'>
  /** 128 characters at most: letters, digits and . _ - */
  readonly newId: () => string
  /** Something has changed: publish it now. */
  readonly changed: () => void
}

/** What a verb makes of the rules as they stand. */
type Edit<T> = (content: FleetContent) => {
  readonly steps: readonly Step[]
  readonly rules: readonly Restriction[]
  /** The rule that comes in, to be looked at. */
  readonly incoming: Restriction | null
  readonly answer: T
}

export function makeRestrictionEdits({ fleet, pins, newId, changed }: Parts) {
  async function edit<T>(
    { force, evict }: RuleOptions,
    { author, keep }: Asked<T>,
    makeEdit: Edit<T>,
  ): Promise<Outcome<T>> {
    // Before the transaction: none is open while another store is asked.
    const lanes: readonly Lane[] = force ? [] : await pins.lanes()
    const outcome = await fleet.change<T>({
      author,
      keep: keep ?? null,
      decide(content) {
        const { steps, rules, incoming, answer } = makeEdit(content)
        if (!force && incoming) refuseNamingNothing(incoming, content)
        if (!force) refuseStranding(lanes, content, { upstreams: content.upstreams, restrictions: rules })
        return { steps: evict ? [...steps, { kind: 'eviction_asked' }] : steps, answer }
      },
    })
    changed()
    return outcome
  }

  return {
    /** @throws ControlError conflict, names_nothing, lane_without_upstream */
    add(
      given: Omit<Restriction, 'id'> & { readonly id: string | null },
      options: RuleOptions,
      asked: Asked<RestrictionRecord>,
    ): Promise<Outcome<RestrictionRecord>> {
      const restriction = restrictionOf({ ...given, id: given.id ?? newId() })
      return edit(options, asked, ({ restrictions, nowMs }) => {
        if (restrictions.some(({ id }) => id === restriction.id)) {
          throw new ControlError(
            'conflict',
            `There is a restriction "${restriction.id}" already; replace it, or choose another id.`,
          )
        }
        return {
          steps: [{ kind: 'restriction_added', restriction, source: 'api' }],
          rules: [...restrictions, restriction],
          incoming: restriction,
          answer: { ...restriction, source: 'api', createdAtMs: nowMs, updatedAtMs: nowMs },
        }
      })
    },

    /** @throws ControlError not_found, conflict (a rule of the configuration), names_nothing, lane_without_upstream */
    replace(
      given: Restriction,
      options: RuleOptions,
      asked: Asked<RestrictionRecord>,
    ): Promise<Outcome<RestrictionRecord>> {
      const restriction = restrictionOf(given)
      return edit(options, asked, ({ restrictions, nowMs }) => {
        const there = editable(restrictions, restriction.id)
        const { source, createdAtMs } = there
        const from = restrictionOf(there)
        return {
          steps: [{ kind: 'restriction_replaced', from, restriction, source }],
          rules: restrictions.map((rule) => (rule.id === restriction.id ? restriction : rule)),
          incoming: restriction,
          answer: { ...restriction, source, createdAtMs, updatedAtMs: nowMs },
        }
      })
    },

    /** @throws ControlError not_found, conflict (a rule of the configuration), lane_without_upstream */
    remove(
      id: string,
      options: RuleOptions,
      asked: Asked<{ readonly id: string }>,
    ): Promise<Outcome<{ readonly id: string }>> {
      return edit(options, asked, ({ restrictions }) => {
        const restriction = restrictionOf(editable(restrictions, id))
        return {
          steps: [{ kind: 'restriction_removed', restriction }],
          rules: restrictions.filter((rule) => rule.id !== id),
          incoming: null,
          answer: { id },
        }
      })
    },
  }
}

function editable(restrictions: readonly RestrictionRecord[], id: string): RestrictionRecord {
  const found = restrictions.find((restriction) => restriction.id === id)
  if (!found) throw new ControlError('not_found', `There is no restriction "${id}".`)
  if (found.source === 'api') return found
  throw new ControlError(
    'conflict',
    `Restriction "${id}" stands in the configuration (restrictions) and would come back from there; change it there.`,
  )
}
