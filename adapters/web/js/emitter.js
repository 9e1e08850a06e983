// Events by name, as small as it gets.

/** An object with listeners. */
export class Emitter {
  #listeners = new Map();

  /** Calls `listener` with each event of this name, and returns a function that ends that. */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Tells the listeners. One that throws keeps neither the others nor the protocol from going on. */
  emit(name, event) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** Makes a promise that can be settled from outside, and whose failure need not be handled. */
export function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.promise.catch(() => {});
  return made;
}
