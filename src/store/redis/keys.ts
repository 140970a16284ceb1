// Every key in Redis. The braces are a hash tag: all keys of a fleet lie in one slot of a Redis Cluster.

export type Keys = ReturnType<typeof makeKeys>

/** @param fleet  `[a-z0-9-]{1,32}` */
export function makeKeys(fleet: string) {
  const prefix = `lk:{${fleet}}`
  return {
    /** hash: `version`, `snapshot`, and one field `upstream:<id>` for each upstream of the snapshot */
    fleet: `${prefix}:fleet`,
    /** hash: job -> record (lua/pin-record.lua) */
    pins: `${prefix}:pins`,
    /** sorted set: job by the time at which its pin ends */
    expiry: `${prefix}:expiry`,
    /** hash: upstream -> pinned jobs */
    counts: `${prefix}:counts`,
    /** hash: gateway -> its newest report */
    gateways: `${prefix}:gateways`,
    /** string: which store this is, for as long as it holds anything; a flush takes it away (lua/identity.lua) */
    born: `${prefix}:born`,
    /** hash: report -> what a job says of its upstream, until a control has written it down */
    reports: `${prefix}:reports`,
    /** channel: a JSON notice for each pin that ends before its time (lua/release-pin.lua) */
    feed: `${prefix}:feed`,
    /** hash: lane -> version and length of its ring */
    rings: `${prefix}:rings`,
    /** sorted set: lane by the time of its last use */
    lanes: `${prefix}:lanes`,
    /** list: upstreams in the order of their turns */
    ring: (lane: string) => `${prefix}:ring:${lane}`,
  }
}
