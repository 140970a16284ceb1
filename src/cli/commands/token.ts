// lanekeeper token: a token with which a container may use its own job and no other.

import { command } from '../command.ts'
import { duration, id, option, required, text } from '../flags.ts'
import { apiFlags, tell, withApi } from '../with-api.ts'

type Token = { readonly token: string }

const token = command({
  name: 'token',
  does: 'make a token with which a container may use one job and no other',
  about: [
    'Prints the token and nothing else. It is the password of the proxy URL, and names the job by itself:',
    '  TOKEN=$(lanekeeper token --job 42)',
    '  HTTPS_PROXY=http://job=42:$TOKEN@gateway:3128',
    'What it does not say, such as the type, cannot be said beside it. It cannot be called back: it ends with its time, or',
    'with the key that signed it (gateway.tokenKeys, which must be set).',
  ],
  args: {},
  flags: {
    job: required('id', 'the job that it is good for', id),
    type: option('type', 'the type of that job; none unless given', text),
    institution: option('code', 'the institution of that job; none unless given', text),
    ttl: option('time', 'how long it is good for, from 1s to 30d; else 1h', duration('1s', '30d')),
    ...apiFlags,
  },
  examples: [
    'lanekeeper token --job 42 --type payment --institution bank-a --ttl 2h',
    'lanekeeper token --job 42 --json',
  ],
  run: (call) =>
    withApi(call, async (api) => {
      const { job, type, institution, ttl } = call.flags
      const body = {
        job,
        ...(type !== null && { type }),
        ...(institution !== null && { institution }),
        ...(ttl !== null && { ttlMs: ttl }),
      }
      const made = await api.ask<Token>('/v1/tokens', 'token', body)
      return tell(call, made, () => made.token)
    }),
})

export const tokenCommands = [token]
