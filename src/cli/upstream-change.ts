// A change of an upstream, as the ledger has it, in words. Pure. Throws on what is not as it is today; the caller then
// shows it as it stands.

import { cell, count } from './table.ts'

type Fields = { readonly [field: string]: unknown }

/** As the ledger writes it: its times are Unix milliseconds. */
type DrainStep = {
  readonly deadlineMs: number
  readonly thenDelete: boolean
  readonly drainedAtMs: number | null
  readonly shut: { readonly pins: number; readonly tunnels: number } | null
}

/** Of interest only where nothing else has changed. */
const notes = ['requestId', 'attempts', 'retryAtMs', 'ejections', 'ejectedUntilMs']

export function upstreamChange(id: string, from: object, to: object | null): string {
  if (to === null) throw new Error('no change')
  const [before, after] = [from as Fields, to as Fields]
  const news = Object.keys(after).filter((field) => isNews(field, before, after))
  const telling = news.filter((field) => !notes.includes(field))
  const shown = [telling, news, Object.keys(after)].find((fields) => fields.length > 0) ?? []
  return shown.map((field) => change(id, field, before[field], after[field])).join(', ')
}

/** A step begins with its notes anew, and names them whether they were or not; a drain tells its states itself. */
function isNews(field: string, from: Fields, to: Fields): boolean {
  if (field === 'state' && from['drain'] !== to['drain']) {
    const isDrain = [from, to].some(({ drain }) => typeof drain === 'object' && drain !== null)
    return !(isDrain && (to['state'] === 'draining' || to['state'] === 'running'))
  }
  // Its row had no address, and so no port, until its machine was made.
  if (field === 'port' && from['host'] === '') return false
  return JSON.stringify(from[field] ?? null) !== JSON.stringify(to[field] ?? null)
}

function change(id: string, field: string, from: unknown, to: unknown): string {
  if (field === 'quarantined') return `${to === true ? 'quarantined' : 'released'} upstream ${id}`
  if (field === 'ejected') return `${to === true ? 'ejected' : 'took back'} upstream ${id}`
  if (field === 'host' && from === '') return `upstream ${id} is made, at ${cell(to)}`
  if (field === 'state') return `upstream ${id} is ${cell(to)}`
  if (field === 'drain') return drainChange(id, (from ?? null) as DrainStep | null, to as DrainStep | null)
  if (field === 'problem')
    return to === null ? `upstream ${id} has no problem any more` : `problem of upstream ${id}: ${cell(to)}`
  if (field === 'replacedBy')
    return to === null
      ? `upstream ${id} is not to be replaced any more`
      : `ordered ${cell(to)} in place of upstream ${id}`
  return `changed ${field} of upstream ${id} from ${cell(from)} to ${cell(to)}`
}

function drainChange(id: string, from: DrainStep | null, to: DrainStep | null): string {
  if (to === null) return `cancelled the drain of upstream ${id}`
  if (to.drainedAtMs !== null && (from?.drainedAtMs ?? null) === null)
    return `upstream ${id} is drained${closedAtDeadline(to)}`
  const until = `until ${new Date(to.deadlineMs).toISOString()} at the latest`
  const then = to.thenDelete ? ', then to delete it' : ''
  const what = from === null ? `began to drain upstream ${id},` : `changed the drain of upstream ${id}:`
  return `${what} ${until}${then}`
}

function closedAtDeadline({ shut }: DrainStep): string {
  if (shut === null) return ''
  return `; its deadline closed ${count(shut.pins, 'pin')} and ${count(shut.tunnels, 'tunnel')}`
}
