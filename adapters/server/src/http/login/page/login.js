// The secret stands behind the #, which no browser sends. It leaves this page in the body of two
// requests alone: one that asks who would log in, and one that the button sends.
const question = document.getElementById("question");
const enter = document.getElementById("enter");
const mend = document.getElementById("mend");
const secret = location.hash.slice(1);

// Neither the address bar nor the history keeps the secret.
history.replaceState(null, "", location.pathname);

/** The call that the gateway advises where a new link mends it. */
const LOGIN = "POST /api/v1/logins";

class Refused extends Error {
  constructor(message, mended) {
    super(message);
    this.mended = mended;
  }
}

async function send(path) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ secret }),
    cache: "no-store",
    redirect: "error",
  });
  const body = await answer.json();
  if (!answer.ok) throw new Refused(body.error.message, body.error.hint === LOGIN);
  return body;
}

function refuse(error) {
  question.textContent = error.message;
  mend.hidden = !error.mended;
  enter.hidden = true;
}

async function ask() {
  if (!secret) {
    throw new Refused("This page is opened by a link: make one at the gateway.", true);
  }
  const { role, gateway } = await send("login/look");
  question.textContent = `Log in as ${role} at ${gateway}?`;
  enter.hidden = false;
  enter.focus();
}

enter.addEventListener("click", async () => {
  enter.disabled = true;
  try {
    await send("login");
    location.replace("admin");
  } catch (error) {
    refuse(error);
  }
});

ask().catch(refuse);
