// Invariant 10: no token in any log, and nothing of a job's identity at its target or in the logs of strangers.

import type { Feed, GatewayLine, Seen, Settings } from './records.ts'
import type { Findings } from './verdict.ts'

export function makeSecrets({ secrets, jobMark }: Settings, findings: Findings) {
  function look(text: string, where: string, wanted: readonly string[]): void {
    for (const secret of wanted)
      // Not the secret itself: a verdict is printed.
      if (text.includes(secret))
        findings.violated(
          10,
          `${where} has a secret of ${secret.length} characters at ${text.indexOf(secret)}`,
        )
  }

  return {
    /** A gateway's own log may name jobs. */
    line({ gateway, text }: GatewayLine): void {
      if (text !== undefined && secrets.length > 0) look(text, `the log of ${gateway}`, secrets)
    },

    async seen(feed: Feed<Seen>): Promise<void> {
      const wanted = jobMark === null ? secrets : [...secrets, jobMark]
      for await (const { where, text } of feed) {
        findings.read('seen')
        look(text, where, wanted)
      }
    },
  }
}
