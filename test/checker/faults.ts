// What the run did to its parts, asked by time.

import type { Fault } from './records.ts'

export type Faults = ReturnType<typeof makeFaults>

export function makeFaults(all: readonly Fault[], skewMs: number) {
  const of = Map.groupBy(all, ({ kind }) => kind)

  /** Any that has to do with `whom` and touches the time, give or take the skew. */
  function during(
    kind: Fault['kind'],
    { whom, fromMs, toMs }: { readonly whom?: string | null; readonly fromMs: number; readonly toMs: number },
  ): Fault[] {
    return (of.get(kind) ?? []).filter(
      (fault) =>
        (whom === undefined || fault.whom === null || fault.whom === whom) &&
        fault.fromMs <= toMs + skewMs &&
        fault.toMs >= fromMs - skewMs,
    )
  }

  return {
    all,
    during,
    isAny: (...asked: Parameters<typeof during>): boolean => during(...asked).length > 0,
  }
}
