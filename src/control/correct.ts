// What a sync corrects, one compare-and-set each: the row as it was before the list, or nothing. What takes away asks the
// provider for that one machine first, since a list may be stale.

import { isControlError } from '../errors.ts'
import { isProviderError, type Instance, type Provider } from '../provider/provider.ts'
import type { FleetRecords, NewUpstream, Step, UpstreamRecord, UpstreamRecords } from '../store/records.ts'
import { changeOf, end, lifeId, move, newLife } from './life.ts'
import type { Correction } from './plan-sync.ts'
import { problemOf } from './retry.ts'

type Parts = {
  readonly fleet: Pick<FleetRecords, 'changeUpstreams'>
  readonly upstreams: Pick<UpstreamRecords, 'read'>
  readonly provider: Pick<Provider, 'name' | 'read' | 'delete'>
  /** False: what is taken in runs at once. */
  readonly hasProbes: () => boolean
  /** A UUID. */
  readonly newId: () => string
  /** Aborts when nobody waits for the cloud any more. */
  readonly signal: AbortSignal
}

/** What became of a correction. */
type Applied = { readonly done: true } | { readonly done: false; readonly detail: string }

export function makeCorrections({ fleet, upstreams, provider, hasProbes, newId, signal }: Parts) {
  /** All lives of an instance, the newest last. */
  async function livesOf(instanceId: string): Promise<UpstreamRecord[]> {
    const lives: UpstreamRecord[] = []
    let life = await upstreams.read(instanceId)
    while (life) {
      lives.push(life)
      life = await upstreams.read(lifeId(instanceId, lives.length + 1))
    }
    return lives
  }

  /** One that fails (the database is away, say) ends the pass; what was done before stands, and the next goes on. */
  async function apply(correction: Correction): Promise<Applied> {
    try {
      switch (correction.action) {
        case 'gone':
          return await takeOut(correction)
        case 'renewed':
          return await renew(correction)
        case 'moved':
          return await changeIfSame(correction, (record) => [changeOf(record, movedFields(correction))])
        case 'adopted':
          return await adopt(correction.instance, correction.reason)
        case 'leftover':
          return await removeLeftover(correction.instance)
        case 'forgotten':
          return await changeIfSame(correction, (record) => [move(record, 'delete', { requestId: newId() })])
      }
    } catch (error) {
      // One row that somebody has locked keeps no other from being corrected.
      if (isProviderError(error) || isControlError(error, 'conflict', 'database_busy'))
        return { done: false, detail: problemOf(error) }
      throw error
    }
  }

  /** A list may be stale; asked for by itself, the machine is there or not. */
  async function takeOut(correction: Correction & { action: 'gone' }): Promise<Applied> {
    const { instanceId: id, zone, incarnation } = correction.record
    if (await provider.read({ id, zone, incarnation }, signal))
      return { done: false, detail: 'the provider still has it' }
    return changeIfSame(correction, (record) => [end(record, 'gone', 'provider')])
  }

  async function renew(correction: Correction & { action: 'renewed' }): Promise<Applied> {
    const { record, reason } = correction
    const { instanceId: id, zone } = correction.record
    const instance = await provider.read({ id, zone, incarnation: null }, signal)
    if (!instance || !isSameView(instance, correction.instance))
      return { done: false, detail: 'the provider says otherwise when asked again' }
    const fresh = lifeOf(instance, await livesOf(id))
    return change(reason, [record, fresh.id], (standing) => {
      if (!standing) return null
      const upstream = { ...fresh, ...wishFor(standing, instance) }
      return [end(standing, 'gone', 'provider'), { kind: 'upstream_added', upstream }]
    })
  }

  /** A machine that is to be deleted, replaced, or kept from jobs, still is when its address is another. */
  function wishFor(record: UpstreamRecord, instance: Instance): Partial<NewUpstream> {
    if (record.incarnation !== instance.incarnation) return {}
    const { state, drain, replacedBy, quarantined } = record
    if (drain?.thenDelete) return { state: 'deleting', drain, requestId: newId() }
    return { replacedBy, quarantined: quarantined || state === 'draining' }
  }

  async function adopt(instance: Instance, reason: string): Promise<Applied> {
    // Read once: the next life's id is free, also where somebody has taken in this one since.
    const lives = await livesOf(instance.id)
    const newest = lives.at(-1)
    if (newest && newest.state !== 'deleted')
      return { done: false, detail: 'it came into the records meanwhile' }
    const fresh = lifeOf(instance, lives)
    return change(reason, [null, fresh.id], () => [{ kind: 'upstream_added', upstream: fresh }])
  }

  async function removeLeftover({ id, zone, incarnation }: Instance): Promise<Applied> {
    if (!(await provider.read({ id, zone, incarnation }, signal)))
      return { done: false, detail: 'it is gone by now' }
    await provider.delete({ id, zone, incarnation, requestId: newId() }, signal)
    return { done: true }
  }

  /** @param lives  all so far */
  function lifeOf(instance: Instance, lives: readonly UpstreamRecord[]): NewUpstream {
    return newLife(instance, { provider: provider.name, life: lives.length + 1, probes: hasProbes() })
  }

  function changeIfSame(
    { record, reason }: Correction & { record: UpstreamRecord },
    steps: (record: UpstreamRecord) => readonly Step[],
  ): Promise<Applied> {
    return change(reason, [record, null], (standing) => (standing ? steps(standing) : null))
  }

  /**
   * Compare-and-set: the row as it was read before the list, and nothing under the new id.
   * @param decide  null where the row is not what it was
   */
  async function change(
    reason: string,
    [record, freshId]: readonly [UpstreamRecord | null, string | null],
    decide: (standing: UpstreamRecord | null) => readonly Step[] | null,
  ): Promise<Applied> {
    const ids = [record?.id, freshId].filter((id) => typeof id === 'string')
    const { answer } = await fleet.changeUpstreams<Applied>({
      author: { actor: 'control', reason: `sync: ${reason}` },
      ids,
      decide({ upstreams }) {
        const standing = upstreams.find(({ id }) => id === record?.id) ?? null
        const isSame = record === null || standing?.rowVersion === record.rowVersion
        const steps = isSame ? decide(standing) : null
        if (steps) return { steps, answer: { done: true } }
        return {
          steps: [],
          answer: { done: false, detail: 'it was changed meanwhile; left for the next pass' },
        }
      },
    })
    return answer
  }

  return { apply, livesOf }
}

function isSameView(a: Instance, b: Instance): boolean {
  return (
    a.status === b.status && a.incarnation === b.incarnation && a.host === b.host && a.egressIp === b.egressIp
  )
}

/** What probes have seen of the egress IP stands, unless nothing was known. */
function movedFields({ record, instance }: Correction & { action: 'moved' }) {
  const { host, port, egressIp: listedIp } = instance
  return { host, port, listedIp: listedIp ?? record.listedIp, egressIp: record.egressIp ?? listedIp }
}
