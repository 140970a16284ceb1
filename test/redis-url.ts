import t from 'tap'
import { readRedisUrl, type RedisAddress } from '../src/redis-url.ts'

const plain: RedisAddress = {
  kind: 'single',
  tls: false,
  user: null,
  password: null,
  db: 0,
  servers: [{ host: 'h', port: 6379 }],
  name: '',
}
const two = (port: number) => [
  { host: 'a', port },
  { host: 'b', port: 7000 },
]

const fine: [name: string, url: string, address: Partial<RedisAddress>][] = [
  ['a host alone', 'redis://h', {}],
  ['a slash', ' redis://h/\n', {}],
  ['a port and a database', 'redis://h:7000/12', { servers: [{ host: 'h', port: 7000 }], db: 12 }],
  ['TLS', 'RedisS://h', { tls: true }],
  ['a password alone', 'redis://:p@h', { password: 'p' }],
  ['an empty login', 'redis://:@h', {}],
  ['a user too', 'redis://u:p:q@h', { user: 'u', password: 'p:q' }],
  ['codes', 'redis://u%40x:p%2F%25%3F%23@h', { user: 'u@x', password: 'p/%?#' }],
  ['an @ in a password', 'redis://u:p@q@h', { user: 'u', password: 'p@q' }],
  ['IPv4', 'redis://127.0.0.1', { servers: [{ host: '127.0.0.1', port: 6379 }] }],
  ['IPv6', 'redis://[::1]:7000', { servers: [{ host: '::1', port: 7000 }] }],
  [
    'a long name',
    'redis://redis_1.db-a.example.',
    { servers: [{ host: 'redis_1.db-a.example.', port: 6379 }] },
  ],
  ['sentinels', 'redis+sentinel://a,b:7000/main', { kind: 'sentinel', servers: two(26379), name: 'main' }],
  [
    'sentinels, with all',
    'rediss+sentinel://u:p@a:26379,b:7000/my.main-1/3',
    { kind: 'sentinel', tls: true, user: 'u', password: 'p', servers: two(26379), name: 'my.main-1', db: 3 },
  ],
  ['a Cluster', 'redis+cluster://:p@a,b:7000', { kind: 'cluster', password: 'p', servers: two(6379) }],
  ['a Cluster over TLS', 'rediss+cluster://h/0', { kind: 'cluster', tls: true }],
]
for (const [name, url, address] of fine) {
  t.test(`it reads ${name}`, async (t) => {
    t.same(readRedisUrl(url), { address: { ...plain, ...address } })
  })
}

const bad: [name: string, url: string, problem: RegExp][] = [
  ['nothing', '', /redis:\/\/.*redis\+sentinel:\/\/.*redis\+cluster:\/\//],
  ['no URL', 'h:6379', /a URL like/],
  ['another scheme', 'http://:hunter2@h', /a URL like/],
  ['another kind', 'redis+proxy://:hunter2@h', /a URL like/],
  ['a missing slash', 'redis:/:hunter2@h', /a URL like/],
  ['a space', 'redis://:hunter2 @h', /without spaces/],
  ['a question mark', 'redis://:hunter2?@h', /%3F/],
  ['settings', 'redis://:hunter2@h?enableOfflineQueue=true', /without \?/],
  ['a hash sign', 'redis://:hunter2#@h', /%23/],
  ['a control character', 'redis://:hunter2\u0007@h', /without spaces/],
  ['no host', 'redis://:hunter2@', /server 1 has no host/],
  ['no host before a port', 'redis://:hunter2@:6379', /server 1 has no host/],
  ['an empty item', 'redis+cluster://:hunter2@a,,b', /server 2 has no host/],
  ['a comma at the end', 'redis+cluster://a,', /server 2 has no host/],
  ['a user without a password', 'redis://hunter2@h', /user without a password/],
  ['a user with an empty one', 'redis://hunter2:@h', /user without a password/],
  ['a bad code', 'redis://:hunter2%zz@h', /%25/],
  ['a slash in a password', 'redis://:hunter2/x@h', /server 1/],
  ['port 0', 'redis://h:0', /server 1 has a port/],
  ['a port that is too high', 'redis+cluster://a,b:65536', /server 2 has a port/],
  ['a port that is no number', 'redis://h:6379x', /server 1 has a port/],
  ['an empty port', 'redis://h:', /server 1 has a port/],
  ['IPv6 without brackets', 'redis://::1', /brackets/],
  ['no IPv6 in brackets', 'redis://[h]', /server 1 has no host that/],
  ['a letter behind brackets', 'redis://[::1]x', /brackets/],
  ['a host that cannot be', 'redis://h%68', /server 1 has no host that/],
  ['a host of dashes', 'redis://-h', /server 1 has no host that/],
  ['a host that is too long', `redis://${'a'.repeat(254)}`, /server 1 has no host that/],
  ['many servers of no kind', 'redis://:hunter2@a,b', /redis\+sentinel:\/\/ or redis\+cluster:\/\//],
  ['sentinels without a name', 'redis+sentinel://:hunter2@a,b', /lacks the name/],
  ['sentinels with a database alone', 'redis+sentinel://a//3', /lacks the name/],
  ['a name that cannot be', 'redis+sentinel://a/ma:in', /lacks the name/],
  ['more behind a name', 'redis+sentinel://a/main/0/1', /more behind/],
  ['a database that is no number', 'redis://h/hunter2', /more behind/],
  ['more than a database', 'redis://h/0/1', /more behind/],
  ['a database of a Cluster', 'redis+cluster://h/1', /only 0/],
]
for (const [name, url, problem] of bad) {
  t.test(`it refuses ${name}, and says why without showing it`, async (t) => {
    const answer = readRedisUrl(url)
    t.ok('problem' in answer)
    if ('problem' in answer) {
      t.match(answer.problem, problem)
      t.notMatch(answer.problem, /hunter2/)
    }
  })
}
