// Why a file or folder can't be used, in our own words.

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: "it isn't there",
  ENOTDIR: "a part of its path is no folder",
  EISDIR: "it is a folder",
  EEXIST: "something else has its name",
  EACCES: "this account has no access to it",
  EPERM: "this account has no access to it",
  EROFS: "its file system can only be read",
  ENOSPC: "the disk is full",
};

export function fileFault(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  return WORDS[code ?? ""] ?? `the system says ${code ?? "no more"}`;
}
