// What was found: violations with the records that show them, exceptions that design 13 allows and counts, and what the
// records did not tell. All are counted; of each only the first are kept.

/** As in design 13; `answers` is I16 of hostile-inputs: each request ends in one terminal line. */
export type Invariant = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 'answers'

export type Exception =
  | 'flex_repin'
  | 'eviction'
  | 'failover_lost_unknown_pin'
  | 'pin_conflict'
  | 'cut_off_longer_than_idle'
  | 'hash_in_partial_partition'
  | 'embedded_exit'
  /** A release was asked for, and perhaps done: its answer was that nobody knows, or never came. */
  | 'release_unanswered'
  /** A process died, and its kernel ended its connections as if all were well. */
  | 'cut_by_a_death'

export type Violation = {
  readonly invariant: Invariant
  readonly what: string
  readonly evidence: readonly unknown[]
}

export type Verdict = {
  /** Of each invariant the first ones; `broken` has their numbers. */
  readonly violations: readonly Violation[]
  readonly broken: { readonly [invariant: string]: number }
  readonly exceptions: { readonly [kind in Exception]?: number }
  /** What could not be decided, and how often. */
  readonly undecided: { readonly [what: string]: number }
  readonly read: { readonly [kind: string]: number }
  /** Of all that is remembered these are the most: at once, never in all. */
  readonly openJobs: number
  /** Client records that had an answer, those of them for which a gateway has a line, and their share. */
  readonly joined: { readonly answered: number; readonly joined: number; readonly share: number }
  /** Too few were joined: whatever else it says, it says nothing. */
  readonly isVoid: boolean
}

const mostKept = 20
const leastShare = 0.99

export type Findings = ReturnType<typeof makeFindings>

export function makeFindings() {
  const violations: Violation[] = []
  const broken = new Map<Invariant, number>()
  const exceptions = new Map<Exception, number>()
  const undecided = new Map<string, number>()
  const read = new Map<string, number>()
  let openJobs = 0
  let answered = 0
  let joined = 0

  return {
    violated(invariant: Invariant, what: string, ...evidence: readonly unknown[]): void {
      const times = raise(broken, invariant)
      if (times <= mostKept) violations.push({ invariant, what, evidence })
    },

    excused(exception: Exception): void {
      raise(exceptions, exception)
    },

    undecided(what: string): void {
      raise(undecided, what)
    },

    read(kind: string): void {
      raise(read, kind)
    },

    open(jobs: number): void {
      if (jobs > openJobs) openJobs = jobs
    },

    answered(isJoined: boolean): void {
      answered += 1
      if (isJoined) joined += 1
    },

    verdict(): Verdict {
      const share = answered === 0 ? 0 : joined / answered
      return {
        violations,
        broken: Object.fromEntries(broken),
        exceptions: Object.fromEntries(exceptions),
        undecided: Object.fromEntries(undecided),
        read: Object.fromEntries(read),
        openJobs,
        joined: { answered, joined, share },
        isVoid: share < leastShare,
      }
    },
  }
}

function raise<Key>(counts: Map<Key, number>, key: Key): number {
  const count = (counts.get(key) ?? 0) + 1
  counts.set(key, count)
  return count
}

/** For people. */
export function inWords({
  violations,
  broken,
  exceptions,
  undecided,
  read,
  openJobs,
  joined,
  isVoid,
}: Verdict): string {
  const share = `${(joined.share * 100).toFixed(2)} % of ${joined.answered} answers have a gateway's line`
  const counts = (title: string, of: { readonly [name: string]: number }) =>
    Object.entries(of).map(([name, count]) => `${title} ${name}: ${count}`)
  return [
    ...counts('read', read),
    `${openJobs} jobs open at once`,
    isVoid ? `VOID: only ${share}` : share,
    ...counts('exception', exceptions as { readonly [name: string]: number }),
    ...counts('undecided', undecided),
    ...violations.map(
      ({ invariant, what, evidence }) =>
        `VIOLATION of ${invariant}: ${what}${evidence.map((one) => `\n    ${JSON.stringify(one)}`).join('')}`,
    ),
    ...Object.entries(broken).map(([invariant, count]) => `${count} violations of ${invariant}`),
    violations.length === 0 && !isVoid ? 'clean' : 'NOT clean',
  ].join('\n')
}
