import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose';

export interface Signer {
  readonly alg: string;
  readonly jwk: JWK;
  readonly pem: string;
  /** `seconds`: how long the token is good, from now. */
  sign(claims: Record<string, unknown>, seconds?: number): Promise<string>;
}

export async function makeSigner(alg: string, kid: string): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return {
    alg,
    jwk: { ...(await exportJWK(publicKey)), kid },
    pem: await exportSPKI(publicKey),
    sign: (claims, seconds = 600) => signed(claims, { alg, kid }, privateKey, seconds),
  };
}

export function signed(
  claims: Record<string, unknown>,
  header: { readonly alg: string; readonly kid?: string },
  key: Parameters<SignJWT['sign']>[0],
  seconds: number,
): Promise<string> {
  const exp = Math.floor(Date.now() / 1000) + seconds;
  return new SignJWT({ exp, ...claims }).setProtectedHeader(header).sign(key);
}
