package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// codeLife is how long a login link can be used.
	codeLife = 15 * time.Minute
	// maxCodes bounds the links that are open at a time; the oldest goes.
	maxCodes = 16
	// sessionLife is how long a browser stays logged in.
	sessionLife = 30 * 24 * time.Hour
	cookieName  = "supervisor_session"
)

// logins makes login links, each good for once, and the cookies that they are turned into. A cookie carries its own proof
// (expiry, and a MAC by a key that comes from the token), so it outlives a restart and dies with the token.
type logins struct {
	key   []byte
	mu    sync.Mutex
	codes []loginCode // oldest first
}

type loginCode struct {
	code  secret
	until time.Time
}

// LoginPath makes a one-time login link: a path such as /login?code=..., good for 15 minutes.
func (a *Authorizer) LoginPath() string {
	code := randomText()
	l := &a.login
	l.mu.Lock()
	defer l.mu.Unlock()
	l.codes = append(l.codes, loginCode{code: newSecret(code), until: time.Now().Add(codeLife)})
	if extra := len(l.codes) - maxCodes; extra > 0 {
		l.codes = l.codes[extra:]
	}
	return "/login?code=" + code
}

// redeem uses a code up.
func (l *logins) redeem(code string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.codes {
		if c.code.matches(code) {
			l.codes = append(l.codes[:i:i], l.codes[i+1:]...)
			return time.Now().Before(c.until)
		}
	}
	return false
}

// cookie makes the cookie of a new session.
func (l *logins) cookie(r *http.Request) *http.Cookie {
	payload := strconv.FormatInt(time.Now().Add(sessionLife).Unix(), 10) + "." + randomText()[:16]
	return &http.Cookie{ //nolint:gosec // Secure where there is TLS: on plain http of a local network the cookie would never come back.
		Name: cookieName, Value: payload + "." + l.mac(payload), Path: "/", MaxAge: int(sessionLife / time.Second),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	}
}

// valid reports whether the request carries the cookie of a session that lasts.
func (l *logins) valid(r *http.Request) bool {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return false
	}
	i := strings.LastIndexByte(c.Value, '.')
	if i < 0 || !hmac.Equal([]byte(c.Value[i+1:]), []byte(l.mac(c.Value[:i]))) {
		return false
	}
	expiry, _, _ := strings.Cut(c.Value, ".")
	until, err := strconv.ParseInt(expiry, 10, 64)
	return err == nil && time.Now().Unix() < until
}

func (l *logins) mac(payload string) string {
	mac := hmac.New(sha256.New, l.key)
	mac.Write([]byte(payload))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
