// ChaCha20-Poly1305 (RFC 8439), authenticated encryption in place: chacha.wat, compiled.
// Promises: what seal and open do is what the standard says. They allocate nothing, and a short text costs a tenth of what it costs through node:crypto.
// Not here: what is sealed, under which key and nonce (codes.ts).

export interface Chacha {
  /** Where texts, keys and nonces lie. What lies before CHACHA_FREE_AT is the cipher's own. */
  readonly memory: Uint8Array;
  /**
   * Encrypts the `length` bytes at `at` in place and puts the tag's TAG_BYTES behind them. All are places in the memory: of `dataLength` bytes that are authenticated
   * and not encrypted, of the nonce's 12 bytes, never used twice with one key, and of the key's 32.
   */
  readonly seal: (at: number, length: number, data: number, dataLength: number, nonce: number, key: number) => void;
  /** Decrypts in place what seal made; `length` is without the tag. @returns 1, or 0 when anything of it is not what was sealed: then nothing is decrypted. */
  readonly open: (at: number, length: number, data: number, dataLength: number, nonce: number, key: number) => 0 | 1;
}

export const CHACHA_KEY_BYTES = 32;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
export const CHACHA_FREE_AT = 128;

/** chacha.wat, compiled. */
export const CHACHA_MODULE = Buffer.from(
  "AGFzbQEAAAABNgdgA39/fwBgBH9/f38AYAJ/fwBgAAJ+fmAGf39/f39/An5+YAZ/f39/f38AYAZ/f39/f38BfwMIBwABAgMEBQYFAwEAAQcYAwZtZW1vcnkCAARzZWFsAAUEb3BlbgAGCt4QB/YGARF/QeXw" +
  "wYsGIQNB7siBmQMhBEGy2ojLByEFQfTKgdkGIQYgACgCACEHIAAoAgQhCCAAKAIIIQkgACgCDCEKIAAoAhAhCyAAKAIUIQwgACgCGCENIAAoAhwhDiACIQ8gASgCACEQIAEoAgQhESABKAIIIRJBCiETA0Ag" +
  "AyAHaiEDIA8gA3NBEHchDyALIA9qIQsgByALc0EMdyEHIAMgB2ohAyAPIANzQQh3IQ8gCyAPaiELIAcgC3NBB3chByAEIAhqIQQgECAEc0EQdyEQIAwgEGohDCAIIAxzQQx3IQggBCAIaiEEIBAgBHNBCHch" +
  "ECAMIBBqIQwgCCAMc0EHdyEIIAUgCWohBSARIAVzQRB3IREgDSARaiENIAkgDXNBDHchCSAFIAlqIQUgESAFc0EIdyERIA0gEWohDSAJIA1zQQd3IQkgBiAKaiEGIBIgBnNBEHchEiAOIBJqIQ4gCiAOc0EM" +
  "dyEKIAYgCmohBiASIAZzQQh3IRIgDiASaiEOIAogDnNBB3chCiADIAhqIQMgEiADc0EQdyESIA0gEmohDSAIIA1zQQx3IQggAyAIaiEDIBIgA3NBCHchEiANIBJqIQ0gCCANc0EHdyEIIAQgCWohBCAPIARz" +
  "QRB3IQ8gDiAPaiEOIAkgDnNBDHchCSAEIAlqIQQgDyAEc0EIdyEPIA4gD2ohDiAJIA5zQQd3IQkgBSAKaiEFIBAgBXNBEHchECALIBBqIQsgCiALc0EMdyEKIAUgCmohBSAQIAVzQQh3IRAgCyAQaiELIAog" +
  "C3NBB3chCiAGIAdqIQYgESAGc0EQdyERIAwgEWohDCAHIAxzQQx3IQcgBiAHaiEGIBEgBnNBCHchESAMIBFqIQwgByAMc0EHdyEHIBNBAWsiEw0AC0EAIANB5fDBiwZqNgIAQQAgBEHuyIGZA2o2AgRBACAF" +
  "QbLaiMsHajYCCEEAIAZB9MqB2QZqNgIMQQAgByAAKAIAajYCEEEAIAggACgCBGo2AhRBACAJIAAoAghqNgIYQQAgCiAAKAIMajYCHEEAIAsgACgCEGo2AiBBACAMIAAoAhRqNgIkQQAgDSAAKAIYajYCKEEA" +
  "IA4gACgCHGo2AixBACAPIAJqNgIwQQAgECABKAIAajYCNEEAIBEgASgCBGo2AjhBACASIAEoAghqNgI8C4cBAQN/IAAgAWohBgJAA0AgACAGRg0BIAMgAiAEQQFqIgQQAEEAIQUDQCAAQQhqIAZNBEAgACAA" +
  "KQMAIAUpAwCFNwMAIABBCGohACAFQQhqIgVBwABJDQEMAgsLA0AgACAGRg0CIAAgAC0AACAFLQAAczoAACAAQQFqIQAgBUEBaiEFDAALCwsLnAUDA34BfxN+QQApAwBC/////8D///8PgyECQQApAwhC/P//" +
  "/8D///8PgyEDIAJC////H4MhBiACQhqIQv///x+DIQcgAkI0iCADQgyGhEL///8fgyEIIANCDohC////H4MhCSADQiiIIQogB0IFfiELIAhCBX4hDCAJQgV+IQ0gCkIFfiEOQQApA0AhD0EAKQNIIRBBACkD" +
  "UCERQQApA1ghEkEAKQNgIRMgACABaiEFAkADQCAAIAVPDQEgACkDACECIAApAwghAyAFIABrQQN0rSEEIARCgAFUBEAgBELAAFQEQCACQgEgBIZCAX2DIQJCACEDBSADQgEgBIZCAX2DIQMLCyAPIAJC////" +
  "H4N8IQ8gECACQhqIQv///x+DfCEQIBEgAkI0iCADQgyGhEL///8fg3whESASIANCDohC////H4N8IRIgEyADQiiIQoCAgAiEfCETIA8gBn4gECAOfnwgESANfnwgEiAMfnwgEyALfnwhFCAPIAd+IBAgBn58" +
  "IBEgDn58IBIgDX58IBMgDH58IRUgDyAIfiAQIAd+fCARIAZ+fCASIA5+fCATIA1+fCEWIA8gCX4gECAIfnwgESAHfnwgEiAGfnwgEyAOfnwhFyAPIAp+IBAgCX58IBEgCH58IBIgB358IBMgBn58IRggFSAU" +
  "QhqIfCEVIBRC////H4MhDyAWIBVCGoh8IRYgFUL///8fgyEQIBcgFkIaiHwhFyAWQv///x+DIREgGCAXQhqIfCEYIBdC////H4MhEiAYQv///x+DIRMgDyAYQhqIQgV+fCEPIBAgD0IaiHwhECAPQv///x+D" +
  "IQ8gAEEQaiEADAALC0EAIA83A0BBACAQNwNIQQAgETcDUEEAIBI3A1hBACATNwNgC+0BAQd+QQApA0AhAEEAKQNIIQFBACkDUCECQQApA1ghA0EAKQNgIQQgAEIFfEIaiCEFIAUgAXxCGoghBSAFIAJ8QhqI" +
  "IQUgBSADfEIaiCEFIAUgBHxCGoghBSAAIAVCBX58IQAgASAAQhqIfCEBIABC////H4MhACACIAFCGoh8IQIgAUL///8fgyEBIAMgAkIaiHwhAyACQv///x+DIQIgBCADQhqIfCEEIANC////H4MhAyAAIAFC" +
  "GoaEIAJCNIaEIQYgBkEAKQMQfCEAIAAgAkIMiCADQg6GhCAEQiiGhEEAKQMYfCAAIAZUrXwLUgAgBSAEQQAQAEEAQgA3A0BBAEIANwNIQQBCADcDUEEAQgA3A1hBAEIANwNgIAIgAxACIAAgARACQQAgA603" +
  "A2hBACABrTcDcEHoAEEQEAIQAws1AQJ+IAAgASAEIAUQASAAIAEgAiADIAQgBRAEIQchBiAAIAFqIQAgACAGNwMAIAAgBzcDCAtFAgJ+AX8gACABIAIgAyAEIAUQBCEHIQYgACABaiEIQgAgBiAIKQMAhSAH" +
  "IAgpAwiFhFIEQEEADwsgACABIAQgBRABQQEL",
  "base64",
);
const MODULE = new WebAssembly.Module(CHACHA_MODULE);

/** An instance with a memory of its own, 64 KiB. */
export function createChacha(): Chacha {
  const { memory, seal, open } = new WebAssembly.Instance(MODULE).exports as { memory: WebAssembly.Memory } & Pick<Chacha, "seal" | "open">;
  return { memory: new Uint8Array(memory.buffer), seal, open };
}
