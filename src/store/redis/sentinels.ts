// Who is the primary, by the word of a sentinel.

import type { Redis } from 'ioredis'
import { uniqueOf, type View } from './finding-connector.ts'

/** Each a flat list of names and values. @see https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#sentinel-api */
type Fields = readonly string[]

/** @param name  what sentinels call it */
export async function askSentinel(redis: Redis, name: string): Promise<View> {
  const [address, primary, sentinels] = await Promise.all([
    // During a failover this one knows first, and where the name is not known it is no error.
    redis.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name),
    redis.call('SENTINEL', 'MASTER', name).catch(() => []),
    redis.call('SENTINEL', 'SENTINELS', name).catch(() => []),
  ])
  return sentinelView({
    address: address as [host: string, port: string] | null,
    primary: primary as Fields,
    sentinels: sentinels as Fields[],
  })
}

type Answers = {
  readonly address: readonly [host: string, port: string] | null
  readonly primary: Fields
  readonly sentinels: readonly Fields[]
}

/** @throws Error with code NOPRIMARY where it knows none of this name */
export function sentinelView({ address, primary, sentinels }: Answers): View {
  if (address === null)
    throw Object.assign(new Error('This sentinel knows no primary of that name.'), { code: 'NOPRIMARY' })
  const others = sentinels
    .map(fieldsOf)
    .map((fields) => ({ host: fields.get('ip') ?? '', port: Number(fields.get('port')) }))
  return {
    primary: { host: address[0], port: Number(address[1]) },
    others: uniqueOf(others.filter(({ host, port }) => host !== '' && port > 0)),
    epoch: Number(fieldsOf(primary).get('config-epoch') ?? 0),
  }
}

function fieldsOf(list: Fields): ReadonlyMap<string, string> {
  const pairs = list.flatMap((name, n) => (n % 2 === 0 ? [[name, list[n + 1] ?? ''] as const] : []))
  return new Map(pairs)
}
