// The words that a job is named by, wherever they come from: a header, the proxy URL, a token, an operator. Pure.

export const jobIdGrammar = /^[A-Za-z0-9][A-Za-z0-9._~:@+-]{0,127}$/
/** A type or an institution: the parts of a lane's name, which a `:` joins. */
export const laneWordGrammar = /^[A-Za-z0-9][A-Za-z0-9._~@+-]{0,63}$/

export function isJobId(text: string): boolean {
  return jobIdGrammar.test(text)
}

export function isLaneWord(text: string): boolean {
  return laneWordGrammar.test(text)
}
