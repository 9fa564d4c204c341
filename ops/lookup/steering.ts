// One more listening socket among those of the lookup processes, which takes no connection itself but says which of the others do.
//
// Linux spreads the connections of a port over all sockets that listen on it with SO_REUSEPORT. A program of a few instructions, attached through any one of
// them, can choose instead: it returns a place in the kernel's list of them. A socket that begins to listen joins at the end of that list; when one is closed, the
// last takes its place (reuseport_add_sock and reuseport_detach_sock in the kernel's net/core/sock_reuseport.c). A place beyond the end means: spread over all.
// The program stays when the socket it came through has gone. Our own socket has a filter from before it listens on that drops whatever comes to it: should the
// kernel choose it in between, the client's handshake begins anew a second later and comes to another.

import { dlopen, FFIType, ptr } from "bun:ffi";
import { isIPv6 } from "node:net";
import { addressBytes } from "../../core/front/index.ts";

const [AF_INET, AF_INET6] = [2, 10];
const [SOCK_STREAM, SOCK_CLOEXEC] = [1, 0x80000];
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const SO_ATTACH_FILTER = 26;
const SO_ATTACH_REUSEPORT_CBPF = 51;

// Instructions of classic BPF: the code and its operand.
const LOAD_RANDOM = [0x20, 0xfffff038] as const;
const MODULO = 0x94;
const ADD = 0x04;
const RETURN = [0x16, 0] as const;
const RETURN_NOTHING = [0x06, 0] as const;

export interface Steering {
  readonly port: number;
  /** From now on new connections go to the sockets at places `first` to `last` of the list alone. Those that wait to be accepted stay where they are. */
  to(first: number, last: number): void;
  /** Leaves the list. */
  close(): void;
}

/** @param address an IP address. @param port 0: any free one. @throws when the system does not allow it. */
export function openSteering(address: string, port: number): Steering {
  const libc = loadLibc();
  const done = (result: number, what: string): number => {
    if (result < 0) throw new Error(`the system refuses ${what} for the socket that steers ${address}:${port}`);
    return result;
  };
  const socket = done(libc.socket(isIPv6(address) ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const setOption = (option: number, value: Uint8Array, name: string): number => done(libc.setsockopt(socket, SOL_SOCKET, option, ptr(value), value.length), name);
  const attach = (option: number, instructions: readonly Instruction[], name: string): void => {
    const program = programOf(instructions);
    setOption(option, headOf(program), name);
  };
  try {
    setOption(SO_REUSEADDR, new Uint8Array([1, 0, 0, 0]), "SO_REUSEADDR");
    setOption(SO_REUSEPORT, new Uint8Array([1, 0, 0, 0]), "SO_REUSEPORT");
    attach(SO_ATTACH_FILTER, [RETURN_NOTHING], "SO_ATTACH_FILTER");
    const where = socketAddress(address, port);
    done(libc.bind(socket, ptr(where), where.length), "bind");
    done(libc.listen(socket, 1), "listen");
    done(libc.getsockname(socket, ptr(where), ptr(Uint32Array.of(where.length))), "getsockname");
    return {
      port: where.readUInt16BE(2),
      to: (first, last) => attach(SO_ATTACH_REUSEPORT_CBPF, [LOAD_RANDOM, [MODULO, last - first + 1], [ADD, first], RETURN], "SO_ATTACH_REUSEPORT_CBPF"),
      close: () => void libc.close(socket),
    };
  } catch (error) {
    libc.close(socket);
    throw error;
  }
}

/** Whether nobody listens there. A port that can be shared would else be shared with a stranger, by mistake. */
export function isFree(address: string, port: number): boolean {
  try {
    Bun.listen({ hostname: address, port, exclusive: true, socket: { data: () => undefined } }).stop();
    return true;
  } catch {
    return false;
  }
}

type Instruction = readonly [code: number, operand: number];

/** struct sock_filter, each of 8 bytes. */
function programOf(instructions: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(8 * instructions.length);
  instructions.forEach(([code, operand], i) => {
    bytes.writeUInt16LE(code, 8 * i);
    bytes.writeUInt32LE(operand, 8 * i + 4);
  });
  return bytes;
}

/** struct sock_fprog. */
function headOf(program: Buffer): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(program.length / 8, 0);
  bytes.writeBigUInt64LE(BigInt(ptr(program)), 8);
  return bytes;
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress(address: string, port: number): Buffer {
  const isV6 = isIPv6(address);
  const bytes = Buffer.alloc(isV6 ? 28 : 16);
  bytes.writeUInt16LE(isV6 ? AF_INET6 : AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(addressBytes(address), isV6 ? 8 : 4);
  return bytes;
}

const { i32, u32, ptr: pointer } = FFIType;
const FUNCTIONS = {
  socket: { args: [i32, i32, i32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  getsockname: { args: [i32, pointer, pointer], returns: i32 },
  close: { args: [i32], returns: i32 },
} as const;

const openLibc = (name: string) => dlopen(name, FUNCTIONS).symbols;
let libc: ReturnType<typeof openLibc> | undefined;

/** glibc's, or musl's. */
function loadLibc(): NonNullable<typeof libc> {
  if (libc) return libc;
  try {
    return (libc = openLibc("libc.so.6"));
  } catch {
    return (libc = openLibc(`libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`));
  }
}
