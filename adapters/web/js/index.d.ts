// Types of the face of handfast-web.

/** What went wrong: a code for programs, and a sentence for people as the message. */
export class HandfastError extends Error {
  readonly code: string;
  /** Of `wrong_code`: the number of attempts that are left. */
  readonly attemptsLeft?: number;
  /** Of `busy` and `gateway_cannot_store`: the seconds until a new attempt makes sense. */
  readonly retryIn?: number;
  /** Of a request over HTTP: its status. */
  readonly status?: number;
}

/** Where pairings and sessions are stored. */
export interface Storage {
  load(key: string): Promise<Uint8Array | undefined>;
  /** Resolves once the bytes survive a power cut: what depends on them is done after that. */
  save(key: string, bytes: Uint8Array): Promise<void>;
  remove(key: string): Promise<void>;
  keys(): Promise<string[]>;
  /** Keeps others from using the same pairing at the same time; returns what releases it. */
  lock?(key: string): Promise<() => void>;
}

/** A storage in the browser's IndexedDB: the default in browsers. */
export class IndexedDbStorage implements Storage {
  constructor(name?: string);
  load(key: string): Promise<Uint8Array | undefined>;
  save(key: string, bytes: Uint8Array): Promise<void>;
  remove(key: string): Promise<void>;
  keys(): Promise<string[]>;
  lock(key: string): Promise<() => void>;
}

/** A storage that ends with the page or process. */
export class MemoryStorage implements Storage {
  load(key: string): Promise<Uint8Array | undefined>;
  save(key: string, bytes: Uint8Array): Promise<void>;
  remove(key: string): Promise<void>;
  keys(): Promise<string[]>;
}

/** A class of WebSockets: the browser's, that of Node.js 22, or that of the package `ws`. */
export type WebSocketClass = new (url: string, protocols?: string | string[]) => any;

export interface Options {
  /** Where the pairing is stored. In browsers IndexedDB, in Node.js files of this user. */
  storage?: Storage;
  /** The name of the pairing in the storage; the gateway's host and port without it. */
  key?: string;
  WebSocket?: WebSocketClass;
  /** The WebAssembly module, where it is not beside this one. */
  wasm?:
    | BufferSource
    | WebAssembly.Module
    | Response
    | Promise<BufferSource | WebAssembly.Module | Response>;
  /** Ends the waiting. */
  signal?: AbortSignal;
}

/** Addresses that a node may use, by action; `*` is one segment, `**` any number of them. */
export interface Permissions {
  read?: string[];
  write?: string[];
  admin?: string[];
}

export interface PairOptions extends Options {
  /** The node's name in the gateway's lists. */
  name?: string;
  room?: string;
  /** What the node says of itself: a JSON object of at most 256 bytes. */
  profile?: string | Record<string, unknown>;
  /** The permissions that the node asks for. */
  permissions?: Permissions;
  /** The fingerprint of the only acceptable gateway. */
  gateway?: string;
}

export type Trust = 'pinned' | 'code' | 'first_use';

/** Events of a connection, of pairing and of a link. */
export interface ConnectionEvents {
  connecting: { url: string };
  lost: { url: string; reason: string; code?: number | string; opened: boolean };
  /** The next attempt follows after this wait. */
  retry: { inMillis?: number; reason?: string; retryIn?: number };
  gateway: { fingerprint: string; trust: Trust };
  gatewayName: { name: string };
  /** A peer refused before the handshake; that proves nothing. */
  turnedAway: {};
  otherVersion: {};
  broken: {};
  /** The gateway sent a token that this node cannot use. */
  tokenUnusable: {};
  granted: { nodeId: string; room: string; message?: string };
}

export interface PairingEvents extends ConnectionEvents {
  otherGateway: { fingerprint: string };
  pin: { expiresIn: number; attempts: number };
  wrongCode: { attemptsLeft: number };
  codeConfirmed: {};
  /** The operator can approve the request, by this node's fingerprint. */
  waiting: { expiresIn: number };
}

export interface Message {
  action: 'read' | 'write' | 'admin';
  address: string;
  bytes: Uint8Array;
  /** The bytes as UTF-8. */
  readonly text: string;
}

export interface ClientEvents extends ConnectionEvents {
  linked: { nodeId: string };
  message: Message;
  /** No permission allows a message or a subscription. */
  notAllowed: { action: string; pattern: string };
  muted: {};
  unmuted: {};
  /** Another node with the same keys took the place of the link. */
  replaced: {};
  /** The grant has expired; the node asks for a new one. */
  expired: {};
  renewed: {};
  notRenewed: {};
  /** The gateway does not know this node; the keys stay, since it may be an older registry. */
  pairAgain: {};
  /** The operator revoked this node; its keys are erased. */
  unpaired: {};
  forgotten: {};
  /** The node has ended, for this reason. */
  closed: HandfastError;
}

interface Emitter<Events> {
  /** Calls `listener` with each event of this name, and returns a function that ends that. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
}

/** A pairing under way. */
export class Pairing implements Emitter<PairingEvents> {
  private constructor();
  on<Name extends keyof PairingEvents>(
    name: Name,
    listener: (event: PairingEvents[Name]) => void,
  ): () => void;
  /** This node's fingerprint, which the operator compares. */
  readonly fingerprint: string;
  readonly gateway?: { fingerprint: string; trust: Trust };
  /** The PIN that the gateway shows: its life in seconds, and the number of attempts. */
  readonly pin?: { expiresIn: number; attempts: number };
  /** Submits the PIN that the gateway shows. */
  submitPin(pin: string): Promise<void>;
  /** Pairs by a code that was made in advance, instead. */
  submitCode(code: string): Promise<void>;
  /** Waits for the link, and for the operator where they decide. */
  waitForApproval(): Promise<Client>;
  cancel(): Promise<void>;
}

export interface Description {
  state: string;
  linked: boolean;
  name?: string;
  room?: string;
  fingerprint: string;
  gateway?: string;
  gatewayName?: string;
  nodeId?: string;
  permissions: Required<Permissions>;
  /** The end of the permissions, which are renewed before it. */
  expires?: Date;
  pairedAt?: Date;
}

/** A node with its link, which is opened again whenever it is lost. */
export class Client implements Emitter<ClientEvents> {
  private constructor();
  on<Name extends keyof ClientEvents>(
    name: Name,
    listener: (event: ClientEvents[Name]) => void,
  ): () => void;
  readonly addresses: string[];
  readonly linked: boolean;
  describe(): Description;
  whenLinked(options?: { signal?: AbortSignal }): Promise<this>;
  /** Sends at most 864 bytes. It resolves when they are sent; see the event `notAllowed`. */
  send(
    address: string,
    data: string | ArrayBuffer | ArrayBufferView,
    options?: { action?: 'read' | 'write' | 'admin' },
  ): Promise<void>;
  /** Returns a function that ends the listening. */
  subscribe(pattern: string, listener: (message: Message) => void): Promise<() => void>;
  /** Sets the readings that go with the next heartbeats. */
  setReadings(readings: {
    occupancy?: boolean;
    noise?: number;
    wakeWordFp?: boolean;
  }): Promise<void>;
  /** Has the capability token renewed, which also happens by itself in good time. */
  renew(options?: { signal?: AbortSignal }): Promise<void>;
  /** Asks for a bearer token for HTTP, which is valid for minutes. */
  bearer(options?: { signal?: AbortSignal }): Promise<string>;
  /** Erases the pairing and the keys here, and ends. */
  forget(): Promise<void>;
  /** Closes the link and ends. What is stored stays. */
  close(): Promise<void>;
}

export interface StoredNode {
  key: string;
  addresses: string[];
  name?: string;
  room?: string;
  gatewayName?: string;
  /** RFC 3339; missing where the pairing has not come to its end. */
  pairedAt?: string;
}

export const Handfast: {
  /** Starts to pair. Resolves once the gateway shows its PIN, or knows of the request. */
  pair(
    url: string,
    options?: PairOptions & { method?: 'pin' | 'approval' | 'code'; code?: string },
  ): Promise<Pairing>;
  /** Pairs with the text of a QR code: an invitation, or a setup code that is bound to a device. */
  pairWithQR(text: string, options?: PairOptions): Promise<Client>;
  /** Starts the stored node of this gateway, without waiting for its link. */
  open(url: string, options?: Options): Promise<Client>;
  /** Links with what is stored of this gateway. */
  connect(url: string, options?: Options): Promise<Client>;
  stored(options?: { storage?: Storage }): Promise<StoredNode[]>;
  /** Erases what is stored of a gateway, its keys included. */
  erase(url: string, options?: { storage?: Storage; key?: string }): Promise<void>;
};

/** Collects options; awaiting it links with what is stored. */
export class HandfastBuilder implements PromiseLike<Client> {
  constructor(url: string, options?: Options);
  withStorage(storage: Storage): this;
  withKey(key: string): this;
  withWebSocket(WebSocket: WebSocketClass): this;
  withSignal(signal: AbortSignal): this;
  connect(): Promise<Client>;
  then<Resolved = Client, Rejected = never>(
    resolved?: ((client: Client) => Resolved | PromiseLike<Resolved>) | null,
    rejected?: ((error: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Resolved | Rejected>;
}

export interface CompanionOptions extends Options {
  /** Hosts outside of this network that may be reached without TLS. */
  plainHosts?: string[];
}

/** A session of a person's phone or program. */
export class Companion {
  private constructor();
  /** Shows a setup code, which is spent; the session is stored. */
  static pair(text: string, options?: CompanionOptions): Promise<Companion>;
  /** Takes the stored session with a gateway. */
  static load(url: string, options?: CompanionOptions): Promise<Companion>;
  readonly url: string;
  /** For `Authorization: Bearer` on the gateway's API. */
  readonly token: string;
  link(options?: { signal?: AbortSignal }): Promise<CompanionLink>;
  /** These three ask the gateway over HTTP: a page only the gateway that served it. */
  describe(): Promise<Record<string, unknown>>;
  refresh(): Promise<Record<string, unknown>>;
  end(): Promise<void>;
  /** Removes the session here alone. */
  forget(): Promise<void>;
}

export interface CompanionSession {
  id: string;
  profile: string;
  deviceLabel?: string;
  expires: Date;
}

export interface CompanionLinkEvents {
  linked: CompanionSession;
  message: string | Uint8Array;
  /** The next attempt follows after this wait. */
  lost: { error: HandfastError; inMillis: number };
  /** The link has ended, for this reason. */
  closed: HandfastError;
}

/** The link of a companion, which is opened again whenever it is lost. */
export class CompanionLink implements Emitter<CompanionLinkEvents> {
  private constructor();
  on<Name extends keyof CompanionLinkEvents>(
    name: Name,
    listener: (event: CompanionLinkEvents[Name]) => void,
  ): () => void;
  readonly linked: boolean;
  readonly session?: CompanionSession;
  send(data: string | ArrayBuffer | ArrayBufferView): void;
  close(): Promise<void>;
}
