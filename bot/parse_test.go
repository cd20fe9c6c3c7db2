package bot_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/berth-dev/berth/bot"
	o "github.com/berth-dev/berth/orchestrator"
)

// outcome writes what Parse makes of a text in one line: the canonical text,
// "guess: …" for a guessed read, or "CODE" with "-> SUGGESTION" if there is one.
func outcome(p bot.Parsed, err error) string {
	var e *o.Error
	switch {
	case errors.As(err, &e) && len(e.Suggestions) > 0:
		return string(e.Code) + " -> " + e.Suggestions[0]
	case errors.As(err, &e):
		return string(e.Code)
	case err != nil:
		return "not an *orchestrator.Error: " + err.Error()
	case p.Guess:
		return "guess: " + p.Canonical
	}
	return p.Canonical
}

// same lists texts that must all come to the same.
type same struct {
	want  string
	texts []string
}

func check(t *testing.T, rows []same) {
	t.Helper()
	for _, row := range rows {
		for _, text := range row.texts {
			if got := outcome(bot.Parse(text)); got != row.want {
				t.Errorf("%q\n got %s\nwant %s", text, got, row.want)
			}
		}
	}
}

func TestContractExample(t *testing.T) {
	t.Parallel()
	check(t, []same{
		{"env create qa shop api=main web=feature/login ttl=72h size=small", []string{
			"env create qa shop api=main web=feature/login ttl=3d size=small",
			"/env create qa shop size=small ttl=3d web=feature/login api=main",
		}},
		{"env create qa api=main ttl=36h", []string{"env create qa api=main ttl=1d12h"}},
		{"env create qa api=main ttl=90m", []string{"env create qa api=main ttl=90m"}},
		{"server create web feature/login ttl=24h size=small target=local name=try", []string{"server create web feature/login name=try target=local size=small ttl=1d"}},
		{"server create web main env=qa", []string{"server create web main env=qa", "server create web=main env=qa", "server create app=web branch=main env=qa"}},
	})
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	check(t, []same{
		{"env create qa api=main", []string{"env new qa api=main", "create env qa api=main", "create a new environment qa api=main", "spin up env qa api=main", "env create name=qa api=main"}},
		{"env list", []string{"env ls", "list envs", "envs", "ls environments", "env all", "show envs"}},
		{"env list mine", []string{"env list mine", "list my envs", "env list me", "my envs", "env", "/env"}},
		{"env show qa", []string{"env describe qa", "describe env qa", "get environment qa", "env status qa", "env show QA"}},
		{"env why qa", []string{"what's wrong with env qa?", "what happened to qa", "env why did qa fail", "explain qa", "why is qa broken?"}},
		{"env why qa all", []string{"why env qa --all", "env why all qa", "explain qa everything", "env why qa full", "env why did qa fail all"}},
		{"env why qa/web raw", []string{"env why qa/web --raw", "env why raw qa/web", "server why qa/web evidence"}},
		{`env why "all"`, []string{"env why all"}},
		{`env why "all" raw`, []string{"env why all --raw"}},
		{"env logs qa", []string{"env logs qa", "logs qa", "env tail qa", "env logs qa -f"}},
		{"env logs qa/web", []string{"env logs qa/web", "server logs qa/web"}},
		{"env history qa", []string{"history qa", "env history of qa"}},
		{"env plan qa shop web=x", []string{"env plan qa shop web=x", "plan qa shop web=x", "env preview qa shop web=x"}},
		{"env deploy qa", []string{"env deploy qa", "env redeploy qa", "roll out env qa"}},
		{"env deploy qa api=main web=x", []string{"env deploy qa web=x api=main", "deploy env web=x and api=main to qa"}},
		{"env deploy qa web=x", []string{"env deploy web=x to qa", "deploy env qa with web=x"}},
		{"env destroy qa", []string{"env destroy qa", "terminate env qa", "env rm qa", "kill env qa", "env delete the qa environment", "tear down env qa", "env destroy qa --yes"}},
		{"env retry qa", []string{"retry qa", "env rerun qa"}},
		{"env cancel qa", []string{"cancel qa", "env abort qa"}},
		{"env extend qa 48h", []string{"env extend qa 2d", "env extend qa by 2 days", "extend qa ttl=2d", "env extend qa for 2 days", "env renew qa +2d"}},
		{"env rename qa qa2", []string{"env rename qa qa2", "env mv qa to qa2", "rename qa → qa2"}},
		{"server list", []string{"server list", "servers", "list all servers", "server ps"}},
		{"server list app=web", []string{"server list app=web", "server list app web"}},
		{"server list mine", []string{"list my servers"}},
		{"server show qa/web", []string{"server show qa/web", "server describe QA/web"}},
		{"server deploy qa/web feature/x", []string{"server deploy qa/web feature/x", "server deploy qa/web web=feature/x", "server deploy qa/web=feature/x", "server deploy qa/web with feature/x"}},
		{"server deploy web-main", []string{"server deploy web-main"}},
		{"server deploy web-main feature/x", []string{"server deploy web-main feature/x", "server deploy web-main branch=feature/x"}},
		{"server deploy web-main web=feature/x", []string{"server deploy web-main web=feature/x"}},
		{"server destroy qa/web", []string{"server destroy qa/web", "kill server qa/web"}},
		{"env help", []string{"help", "env help", "env --help"}},
		{"env help create", []string{"env help create", "env create --help", "env create help", "help create env"}},
	})
}

// TestPoints has a table for each of the thirteen points of what people's
// keyboards, Slack and habits do to a command.
func TestPoints(t *testing.T) {
	t.Parallel()
	const want = "env create qa api=main web=feature/login ttl=72h"
	points := map[string][]same{
		"1 quotes": {
			{want, []string{
				`env create qa api="main" web='feature/login' ttl="3d"`, "env create qa api=“main” web=„feature/login“ ttl=«3d»", "env create qa api=‘main’ web=′feature/login′ ttl=″3d″",
				"env create “qa” api=“main\" web=\"feature/login’ ttl=3d", "env create qa api=main web=“feature/login ttl=3d", `env create qa "api=main" 'web=feature/login' "ttl=3d"`, `env create qa "api=main" 'wEb=feature/login' “—ttl=3d”`,
				`env create qa api=main web="feature/login ttl="3d"`, `"env create qa api=main web=feature/login ttl=3d"`, `env create qa api=main web=feature/login" ttl="3 days"`,
			}},
			{`env create qa web="feature/don't"`, []string{"env create qa web=feature/don’t", "env create qa web=feature/don't", "env create qa web=“feature/don't”"}},
			{`env create qa web="feature/don’t"`, []string{"env create qa web=\"feature/don’t\""}},
			{"grammar", []string{"please don’t destroy qa", "don't env destroy qa", "never destroy env qa"}},
			{`env create qa web="a\"b"`, []string{`env create qa web="a\"b"`, `env create qa web="a"b"`}},
			{"invalid_value -> env create qa web=a ttl=72h", []string{`env create qa web="a ttl=3d"`}},
			{"invalid_value", []string{`env create qa web=""`, `env create qa web="a b"`}},
		},
		"2 dashes": {
			{want, []string{
				"env create qa api=main web=feature/login —ttl=3d", "env create qa api=main web=feature/login –ttl 3d", "env create qa api=main web=feature/login -ttl 3d",
				"env create qa api=main web=feature/login --ttl=3d", "env create qa api=main web=feature/login ﹣ttl=3d", "env create qa api=main web=feature/login －－ttl＝3d",
			}},
			{"env create qa web=feature-x", []string{"env create qa web=feature–x", "env create qa web=feature‐x", "env create qa web=feature−x", "env create qa web=feature－x", "env create qa web=feature﹣x"}},
			{"env create qa web=feature--x", []string{"env create qa web=feature—x", "env create qa web=feature―x", "env create qa web=feature﹘x"}},
			{`env create qa web="feature–x"`, []string{`env create qa web="feature–x"`, "env create qa web=“feature–x”"}},
			{"invalid_value", []string{"env create qa web=-x", "env create qa web=—x", `env create qa web="-x"`}},
		},
		"3 spaces": {
			{want, []string{
				"env create\u00a0qa\u202fapi=main\u2007web=feature/login\u3000ttl=3d", "env\tcreate\nqa   api=main\r\nweb=feature/login ttl=3d", "env create qa. api=main. web=feature/login. ttl=3d",
				"  env create qa\n- api=main\n- web=feature/login\n- ttl=3d\n",
			}},
		},
		"4 invisibles": {
			{want, []string{"\ufeffenv cre\u200bate q\u00ada api=ma\u200din web\u2060=feature/\u202alogin\u202c ttl=3\ufe0fd", "env create qa\u200e api=\u2066main\u2069 web=feature/login ttl=3d\u200b"}},
			{"invalid_value -> env create qa web=main", []string{"env create qa web=\"ma\u200bin\""}},
			{"env create qa web=\"fix/✈\ufe0f\"", []string{"env create qa web=\"fix/✈\ufe0f\""}},
		},
		"5 wide": {
			{want, []string{"env create qa api＝main web：feature／login ttl＝３d", "ｅｎｖ create qa api=main web=feature/login ttl=3d"}},
			{"env create qa web=user@fix", []string{"env create qa web=user＠fix"}},
			{"invalid_value", []string{"env create qa web=a…b"}},
			{"env show qa", []string{"env show qa…"}},
			{"env rename qa qa2", []string{"env rename qa → qa2", "env rename qa to qa2"}},
		},
		"6 markup": {
			{want, []string{
				"<@U1|berth> env create qa api=main web=feature/login ttl=3d", "@berth env create qa api=main web=feature/login ttl=3d", "&gt; env create qa api=main web=feature/login ttl=3d",
				"<@U024BE7LH> create env qa api=main web=feature/login ttl=3d", "<@U1> <@U1> env create qa api=main web=feature/login ttl=3d", "hey <@U1|berth> env create qa api=main web=feature/login ttl=3d",
				"<@U1|berth> “env create qa api=main web=feature/login ttl=3d”", "please '/env create qa web=feature/login api=main ttl=3 days' thank you!",
			}},
			{`env create qa web="a&b"`, []string{"env create qa web=a&amp;b", "env create qa web=“a&amp;b”"}},
			{`env create qa web="a&lt;b>"`, []string{"env create qa web=a&lt;b&gt;"}},
			{`env create qa web="a&amp;amp;b"`, []string{"env create qa web=a&amp;amp;b"}},
			{"env create qa web=x.dev", []string{"env create qa web=<https://x.dev|x.dev>", "env create qa web=<http://x.dev/|x.dev>", "env create qa “web=<http://x.dev|x.dev>”"}},
			{"env create qa web=release/x.dev-1", []string{"env create qa web=release/<http://x.dev|x.dev>-1"}},
			{"env create qa web=a@b.c", []string{"env create qa web=<mailto:a@b.c|a@b.c>"}},
			{"env create qa web=#general", []string{"env create qa web=<#C1|general>"}},
			{`env create qa web="@bob"`, []string{"env create qa web=<@U1|bob>", "env create qa web=@bob"}},
			{"env list mine", []string{"env list me", "env list @me"}},
			{"grammar -> env list", []string{"env list @bob", "env list <@U1|bob>", "env list <!subteam^S1>"}},
			{"grammar", []string{"env create qa shop <!subteam^S1|@team> please extra"}},
		},
		"7 marks": {
			{want, []string{
				"`env create qa api=main web=feature/login ttl=3d`", "```env create qa api=main web=feature/login ttl=3d```", "```\nenv create qa api=main web=feature/login ttl=3d\n```",
				"*env create qa* api=`main` web=*feature/login* ttl=~3d~", "~*env create qa api=main*~ `web`=`feature/login` ttl=3d", "• env create qa api=main web=feature/login ttl=3d",
				">env create qa api=main web=feature/login ttl=3d", "- env create qa api=main web=feature/login ttl=3d", "1. env create qa api=main web=feature/login ttl=3d",
				"env create qa api=*`“main”`* web=feature/login ttl=3d", "_env create qa api=main web=feature/login ttl=3d_", "**env** create qa ~~api~~=main web=feature/login ttl=3d",
			}},
			{"env create qa web=feature_x_y", []string{"env create qa web=feature_x_y", "env create qa web=*feature_x_y*"}},
			{`env create qa web="_x_"`, []string{"env create qa web=_x_"}},
			{want, []string{
				"env _create qa api=main web=feature/login ttl=3d_", "env create _qa api=main web=feature/login_ ttl=3d", "env create qa _api=main, web=\"feature/login\"_. ttl=3d",
				"*env _create qa* api=main web=feature/login_ ttl=3d", "env create qa __api=main web=feature/login__ ttl=3d",
			}},
			{`server create web "_x"`, []string{`server create web "_x"`, "server create web _x"}},
			{`server create web "x_"`, []string{"server create web x_"}},
			{"invalid_value", []string{"env create qa web=a*b", "env create qa web=fix*", "env create qa web=main~", "env create qa web=main~1"}},
		},
		"8 case": {
			{"env list", []string{"List ENVS", "ENV LIST", "Env List"}},
			{want, []string{"ENV Create QA API=main Web=feature/login TTL=3D", "/Env create Qa api=main web=feature/login Ttl=3D"}},
			{"env create qa shop web=Feature/Login size=small target=local", []string{"env create qa SHOP WEB=Feature/Login size=SMALL target=Local"}},
		},
		"9 separators": {
			{want, []string{
				"env create qa api = main web= feature/login ttl =3d", "env create qa api:main web: feature/login ttl:3d", "env create qa api=main web=feature/login ttl 3d",
				"env create qa, api=main, web=feature/login and ttl=3d.", "env create qa; api=main; web=feature/login; ttl=3d!", "env create: qa api=main,web=feature/login,ttl=3d?",
				"env create qa api = please main web=feature/login ttl = the 3d", "env create qa api=>main web => feature/login ttl=3d",
			}},
			{`env create qa web="a,b"`, []string{"env create qa web=a,b", `env create qa web="a,b",`}},
			{"invalid_value", []string{"env create qa web=", "env create qa web= ttl=3d", "env create qa ttl="}},
			{"invalid_value -> env create qa api=main", []string{"env create qa: api=main"}},
		},
		"10 habits": {
			{want, []string{
				"/env env create qa api=main web=feature/login ttl=3d", "/env /env create qa api=main web=feature/login ttl=3d", "berth env create qa api=main web=feature/login ttl=3d",
				"please create my env qa with api=main and web=feature/login for 3 days, thanks!", "env please create the qa api=main web=feature/login ttl=3d",
				"hey berth, can you create an environment called qa with api=main and web=feature/login and ttl=3d please?", "envs create qa api=main web=feature/login ttl=3d",
			}},
			{"guess: env list", []string{"env lsit", "evn list", "enviroments", "env lst", "list"}},
			{"guess: env show qa", []string{"env shwo qa", "env qa show", "show qa"}},
			{"guess: server list", []string{"env server list", "env list servers", "servr list"}},
			{"grammar -> " + want, []string{
				"env craete qa api=main web=feature/login ttl=3d", "evn create qa api=main web=feature/login ttl=3d", "ev create qa api=main web=feature/login ttl=3d", "env qa create api=main web=feature/login ttl=3d",
				"create qa api=main web=feature/login ttl=3d", "env create qa api main web feature/login ttl=3d", "env create qa api=main web=feature/login tll=3d", "env create qa api=main web=feature/login --tll=3d",
			}},
			{"grammar -> env destroy qa", []string{"env terminte qa", "env destory qa", "evn destroy qa", "env qa destroy", "env destroy qa and qb", "env destroy qa qb"}},
			{"grammar -> server destroy qa", []string{"/env server destroy qa", "env destroy server qa"}},
			{"grammar -> server destroy qa/web", []string{"env destroy qa/web", "server destroy qa web", "server destroy web env=qa"}},
			{"grammar -> server create web main", []string{"server create main for web", "server create a web server from main", "server create from main web"}},
			{"guess: env show qa", []string{"server list env=qa"}},
			{"grammar -> env retry qa", []string{"server retry qa"}},
			{"grammar", []string{"env frobnicate qa", "env stop qa", "env restart qa", "", "   ", "?", "berth"}},
		},
		"11 refs": {
			{"env create qa web=feature/x", []string{"env create qa web=origin/feature/x", "env create qa web=refs/heads/feature/x", "env create qa web=refs/remotes/origin/feature/x"}},
			{`env create qa web="origin/x"`, []string{`env create qa web="origin/x"`, "env create qa web=origin/origin/x"}},
			{"env create qa web=#123", []string{"env create qa web=#123", "env create qa web='#123'"}},
			{"grammar -> env create qa web=#123", []string{"env create qa web#123"}},
			{"grammar -> env create qa web=main", []string{"env create qa web@main"}},
			{"env create qa web=https://github.com/acme/web/tree/feature/x", []string{
				"env create qa web=https://github.com/acme/web/tree/feature/x", "env create qa web=<https://github.com/acme/web/tree/feature/x>", "env create qa web: github.com/acme/web/tree/feature/x",
				"env create qa web=<https://github.com/acme/web/tree/feature/x|github.com/acme/web/tree/feature/x>",
			}},
			{"server create web https://github.com/acme/web/pull/12", []string{"server create web https://github.com/acme/web/pull/12", "server create web <https://github.com/acme/web/pull/12|PR 12>."}},
			{"env deploy qa web=0123456789abcdef0123456789abcdef01234567", []string{"env deploy qa web=0123456789abcdef0123456789abcdef01234567"}},
			{`env create qa web="a=b"`, []string{`env create qa web="a=b"`, "env create qa web=a=b"}},
			{"env create qa web=feature/a@b#c", []string{"env create qa web=feature/a@b#c", `env create qa web="feature/a@b#c"`}},
			{`server create web "a=b"`, []string{`server create web "a=b"`, `server create web web="a=b"`, `server create web branch=a=b`}},
			{`server create web "fix/a=b"`, []string{"server create web fix/a=b"}},
			{`server create web branch="ttl=3d"`, []string{`server create web branch="ttl=3d"`}},
			{`server create web branch="web=main"`, []string{`server create web web="web=main"`}},
			{"server create web main", []string{`server create web "web=main"`}},
			{`grammar -> server deploy web-main web=x`, []string{`server deploy web-main "web=x"`}},
			{"invalid_value", []string{"env create qa web=a:b", "env create qa web=https://example.com/x", "env create qa web=https://github.com/acme/web", "env create qa web=a..b", "env create qa web=a.lock", "env create qa web=/a", "env create qa web=@{u}", "env create qa web=@", "env create qa web=.a"}},
			{"invalid_value -> env create qa web=feature/x", []string{`env create qa web=feature\x`}},
			{"grammar -> server deploy qa/web feature/x", []string{"server deploy feature/x to qa/web", "server deploy qa/web to feature/x", "server deploy feature/x on qa/web"}},
		},
		"12 durations": {
			{want, []string{
				"env create qa api=main web=feature/login ttl=3 days", "env create qa api=main web=feature/login for 3 days", "env create qa api=main web=feature/login ttl=72h",
				"env create qa ttl 2 days and 24 hours api=main web=feature/login", "env create qa ttl=2d24h api=main web=feature/login", "env create qa ttl=+3d api=main web=feature/login", "env create qa api=main web=feature/login ttl=4320m",
			}},
			{"env extend qa 24h", []string{"env extend qa tomorrow", "env extend qa 1d", "env extend qa a day", "env extend qa by one day"}},
			{"env extend qa 36h", []string{"env extend qa 1d12h", "env extend qa 1 day 12 hours", "env extend qa 1.5 days", "env extend qa 1.5d"}},
			{"env extend qa 90m", []string{"env extend qa 90m", "env extend qa 1h30m", "env extend qa +90 minutes"}},
			{"env extend qa 45s", []string{"env extend qa 45s"}},
			{"invalid_value", []string{
				"env extend qa 0", "env extend qa 0d", "env extend qa -4h", "env extend qa −4h", "env extend qa –4h", "env create qa ttl=-1d", "env create qa ttl=0h", "env create qa ttl=soon",
				"env create qa ttl=3", "env create qa ttl=3x", "env create qa ttl=forever", "env create qa ttl=1ms", "env extend qa", "env create qa ttl=0.00001s",
			}},
			{"lifetime_exceeded", []string{"env create qa ttl=99999999999d", "env create qa ttl=" + strings.Repeat("9", 400) + "d"}},
			{"grammar -> env create qa ttl=72h", []string{"env create qa 3d"}},
			{"grammar -> env extend qa 48h", []string{"env extend qa to 2d"}},
		},
		"13 refusals": {
			{"invalid_name -> " + want, []string{"env create qа api=main web=feature/login ttl=3d", "env create qa аpi=main web=feature/login ttl=3d"}},
			{"grammar -> " + want, []string{"env crеate qa api=main web=feature/login ttl=3d"}},
			{"invalid_value -> " + want, []string{"env create qa api=mаin web=feature/login ttl=3d", "env create qa api=main web=feature/lоgin ttl=3d", `env create qa api=main web="feature/lоgin" ttl=3d`}},
			{`env create qa web="фича/логин"`, []string{"env create qa web=фича/логин", `env create qa web="фича/логин"`}},
			{`env create qa web="тест-修复bug"`, []string{"env create qa web=тест-修复bug", `env create qa web="тест-修复bug"`}},
			{"invalid_value -> env create qa web=main", []string{"env create qa web=мain", `env create qa web="mаin"`, "env create qa web=maιn"}},
			{"invalid_value -> env create qa web=feature/x", []string{"env create qa web=feature∕x", `env create qa web="feature⁄x"`}},
			{"invalid_value", []string{"env create qa web=logжin"}},
			{"grammar", []string{
				"env create qa web=a web=b", "env create qa ttl=3d ttl=4d", "env create qa size=a size=b", "env create qa web=a WEB=b", "env\x00list", "env list \x1b[31m", "env list \xff",
				"env create qa " + strings.Repeat("x", 5000), "env show qa ttl=3d", "server create web main api=x", "server create web main name=a env=b", "server create web main other", "server create web",
			}},
			{"env create qa web=a ttl=72h", []string{"env create qa web=a ttl=3d web=a ttl=72h", "env create qa web=a web=origin/a ttl=3d"}},
		},
	}
	for point, rows := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			check(t, rows)
		})
	}
}

// TestSentences has what people type who know no grammar: it ends in a read,
// in the offer of the one command that is meant, or in a refusal.
func TestSentences(t *testing.T) {
	t.Parallel()
	check(t, []same{
		{"guess: env list", []string{"what environments are there", "what envs are there?", "which environments exist?", "which envs are running?"}},
		{"guess: env show qa", []string{"how is qa doing?", "is qa up?", "what's the status of qa?", "where is qa", "who owns env qa?", "list servers of qa", "which servers are in qa"}},
		{"grammar -> env show qa", []string{"env qa", "env QA."}},
		{"grammar -> server show qa/web", []string{"server qa/web"}},
		{"guess: env logs qa", []string{"show logs for qa", "show me the logs of qa", "get logs qa"}},
		{"guess: env logs qa/web", []string{"show the logs of web in qa", "show me the logs of qa/web"}},
		{"guess: env history qa", []string{"show the history of qa"}},
		{"env create qa", []string{"give me a new env qa", "please create a new environment called qa, thank you!"}},
		{"grammar -> env create qa", []string{"give me an env qa", "we need another env qa please", "env create qa --force"}},
		{"grammar", []string{"I need an environment", "give me a server"}},
		{"grammar -> server create web main", []string{"I need a server for web on main", "give me a server with web on main", "server create web@main", "create server web->main"}},
		{"server create api main", []string{"create server for api from branch main", "create a server for api from the branch main", "server create api branch main"}},
		{"grammar -> server create web main env=qa", []string{"server create web main in qa", "server create qa/web main", "create a server for web on main in qa"}},
		{"grammar -> server create web main name=try", []string{"server create web main as try"}},
		{"grammar -> server create web #12", []string{"server create web#12"}},
		{"grammar -> env create qa shop", []string{"spin up shop as qa", "create env shop as qa", "create env qa blueprint=shop", "create env qa from blueprint shop", "create environment qa with the shop blueprint", "env create blueprint=shop qa"}},
		{`env create qa blueprint="shop"`, []string{`env create qa blueprint="shop"`}},
		{"grammar -> env create qa web=feature/login ttl=72h", []string{"please create a new environment called qa with web on feature/login for 3 days", "env create qa with web on branch feature/login for three days", "env create qa --web feature/login --ttl 3d", "env create qa --web=feature/login expires in 3 days"}},
		{"grammar -> env create qa api=main web=feature/login", []string{"env create qa api@main web@feature/login", "env create qa api->main web->feature/login", "env create qa with api main and web feature/login", "env create qa --api main --web=feature/login"}},
		{"grammar -> env create qa shop api=main", []string{"env create qa shop api main", "env create qa shop api@main", "env create qa using blueprint shop with api on main"}},
		{"grammar -> env create qa web=main", []string{"env create qa web main"}},
		{"grammar -> env create qa web=feature/login", []string{"env create qa web feature/login"}},
		// A word after the blueprint is no branch of it.
		{"grammar", []string{"env create qa shop extra", "env plan qa shop extra", "env create qa shop extra more"}},
		{"grammar -> env create qa shop ttl=72h", []string{"env create qa shop 3d"}},
		{"invalid_value -> env create qa api=main", []string{"env create qa api==main", "env create qa api:=main"}},
		{"grammar -> env plan qa web=main", []string{"env create qa web=main --dry-run", "env create --plan qa web=main"}},
		{"grammar -> env create qa ttl=24h", []string{"env create qa until tomorrow", "env create qa lasting a day", "create env qa lifetime 1d"}},
		{"env create qa ttl=48h", []string{"env create qa for two days", "env create qa ttl of 2 days", "env create qa ttl=two days"}},
		{"grammar -> env deploy qa web=main", []string{"deploy web main to qa", "deploy web=main to qa", "env deploy web main to qa", "deploy web@main to env qa"}},
		{"grammar -> server deploy qa/web feature/x", []string{"put feature/x on qa/web", "deploy feature/x to qa/web", "env deploy feature/x to qa/web"}},
		{"grammar -> server deploy qa/web main", []string{"deploy main to qa/web", "put main on qa/web"}},
		{"env extend qa 24h", []string{"prolong qa for another day", "env extend qa another day"}},
		{"env extend qa 48h", []string{"env extend qa for 2 more days", "env extend qa another 2 days"}},
		{"grammar -> env extend qa 48h", []string{"extend the life of qa by 2 days", "env extend 2d qa"}},
		{"invalid_value", []string{"env create qa ttl=1 month", "env create qa ttl 2 fortnights"}},
		{"grammar -> server destroy qa/web", []string{"delete server web from qa", "delete web from qa", "env destroy web in qa"}},
		// What was offered for these would be another change than the one asked for.
		{"grammar", []string{
			"env destroy not qa", "env destroy qa except web", "env destroy qa tomorrow", "destroy env qa when idle", "env deploy qa only web", "env destroy qa? no",
			"destroy everything", "env destroy all", "env destroy mine", "destroy all envs", "destroy my envs", "do not destroy env qa", "env do not destroy qa",
		}},
		{`env destroy "all"`, []string{`env destroy "all"`}},
		{"grammar -> env destroy qa", []string{"destroy evn qa", "destroy envv qa", "kill environemnt qa", "evn evn destroy qa", "tera down env qa", "env tear dwon qa", "take dwn env qa"}},
		{"grammar -> server deploy qa feature/x", []string{"ship serevr qa feature/x"}},
		{"grammar -> env create qa shop", []string{"spn up env qa shop", "env brin up qa shop", "create environmnet qa shop"}},
		{"guess: env logs qa", []string{"logs evn qa", "show logs of environmnet qa"}},
		{"grammar -> env plan qa", []string{"plan evn qa"}},
		{"guess: server list", []string{"list serve", "ls sevrers", "list all severs"}},
		{"grammar -> env rename qa qb", []string{"rename evn qa qb", "rename evn qa to qb"}},
		{"env rename eng qa", []string{"rename eng qa"}},
		{"env extend eng 48h", []string{"extend eng 2d", "extend eng by 2 days"}},
	})
}

func TestSettingsBelongToOps(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"env create qa DATABASE_URL=postgres://u:hunter2@h/db", "env deploy qa web=main SECRET_KEY=hunter2", "env set qa DEBUG=hunter2", "set env qa API_KEY=hunter2", "env deploy qa PORT=hunter2",
		"env config qa", "env secrets qa", "env create qa api=main --DATABASE_URL=hunter2", "env create qa DATABASE_URL = hunter2", "env DATABASE_URL=hunter2", "server create web main TOKEN=hunter2",
		`server create web "DATABASE_URL=hunter2"`, `server deploy qa/web "DATABASE_URL=hunter2"`, "env edit .env", "env deploy qa database_url=hunter2", "env create qa --set A_B=hunter2",
	} {
		_, err := bot.Parse(text)
		var e *o.Error
		if !errors.As(err, &e) || e.Code != o.CodeNotAllowed {
			t.Errorf("%q: %v, want a refusal", text, err)
			continue
		}
		if !strings.Contains(e.Message, "belong to ops") {
			t.Errorf("%q: %q does not say whose they are", text, e.Message)
		}
		if strings.Contains(e.Message+e.Hint+strings.Join(e.Suggestions, ""), "hunter2") {
			t.Errorf("%q: the value comes back in %+v", text, e)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 32)
	check(t, []same{
		{"env show a", []string{"env show a"}},
		{"env create a shop", []string{"env create a shop"}},
		{"env show " + long, []string{"env show " + long}},
		{"invalid_name -> env show " + long, []string{"env show " + long + "a"}},
		{"invalid_name -> env show qa", []string{"env show qa-", "env show qa_"}},
		{"invalid_name", []string{"env show 1", `env show "q a"`, `env show ""`, "env destroy <@U1>", "env create qa (shop)"}},
		{"name_reserved", []string{"env create list", "env create ttl=3d create", "env create destroy", `env create "size"`, "env rename qa show", "server create web main name=env", "env create server=x list"}},
		{"grammar", []string{"env create", "env show", "env destroy", "env rename qa", "server show", "server create", "env create the"}},
		{`env create "my" shop`, []string{`env create "my" shop`}},
		{`env destroy "please"`, []string{`env destroy "please" please`}},
	})
}

func TestMessagesNameTheThing(t *testing.T) {
	t.Parallel()
	for text, words := range map[string][]string{
		"env create qа api=main":         {"U+0430", "Cyrillic"},
		"env create qa web=a web=b":      {"web", "a", "b"},
		"env create qa ttl=3x":           {"3x"},
		"env extend qa -4h":              {"-4h", "negative"},
		"env extend qa 0d":               {"0d", "zero"},
		"env frobnicate qa":              {"frobnicate"},
		"env create qa web=a..b":         {"a..b", "two dots"},
		"env create qa web=http://x.y/z": {"http://x.y/z", "address"},
		"env create qa web=мain":         {"U+043C", "Cyrillic"},
		"env create qa ttl=1 month":      {"1 month", "month"},
		"env destroy qa tomorrow":        {"tomorrow"},
		"env create qa ttl=3d ttl=4d":    {"ttl", "72h", "96h"},
		"env create list":                {"list"},
		"env\x00list":                    {"NUL"},
		strings.Repeat("env list ", 999): {"4 KB"},
	} {
		_, err := bot.Parse(text)
		if err == nil {
			t.Errorf("%.40q is taken", text)
			continue
		}
		var e *o.Error
		if !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%.40q: no hint in %v", text, err)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%.40q: %q does not say %q", text, err, w)
			}
		}
	}
}

func TestParseArgs(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		want string
		args []string
	}{
		{"env create qa api=main web=feature/login ttl=72h", []string{"env", "create", "qa", "web=feature/login", "api=main", "ttl=3 days"}},
		{"env create qa web=main ttl=72h", []string{"env", "create", "qa", "web=main", "--ttl", "3d"}},
		{"env create qa web=main ttl=72h", []string{"env", "create", "qa", "web", "=", "main", "ttl", "3", "days"}},
		{`env create qa web="feature–x"`, []string{"env", "create", "qa", "web=feature–x"}},
		{`env create qa web="a\"b"`, []string{"env", "create", "qa", `web=a"b`}},
		{`env create qa web="a&amp;lt;b"`, []string{"env", "create", "qa", "web=a&lt;b"}},
		{`env create qa web="&lt;@U1|x>"`, []string{"env", "create", "qa", "web=<@U1|x>"}},
		{`env create qa web="v1!"`, []string{"env", "create", "qa", "web=v1!"}},
		{`env create qa web="{{salt.cmd.run('id')}}"`, []string{"env", "create", "qa", "web={{salt.cmd.run('id')}}"}},
		{"env create qa web=x", []string{"env", "create", "qa", "web=origin/x"}},
		{`env create qa web="origin/x"`, []string{"env", "create", "qa", `web="origin/x"`}},
		{`server create web "a=b"`, []string{"server", "create", "web", `"a=b"`}},
		{"server deploy qa/web feature/x", []string{"server", "deploy", "qa/web", "feature/x"}},
		{"invalid_value", []string{"env", "create", "qa", "web=feature x"}},
		{"invalid_value", []string{"env", "create", "qa", "web="}},
		{"invalid_value", []string{"env", "create", "qa", "web=-x"}},
		{"invalid_name", []string{"env", "create", "qa api=main"}},
		{"invalid_name", []string{"env", "create", ""}},
		{"grammar -> env create qa", []string{"env", "craete", "qa"}},
		{"guess: env list", []string{"env", "lsit"}},
		{"not_allowed", []string{"env", "create", "qa", "A_B=c"}},
		{"env help create", []string{"env", "create", "--help"}},
	} {
		if got := outcome(bot.ParseArgs(row.args)); got != row.want {
			t.Errorf("%q\n got %s\nwant %s", row.args, got, row.want)
		}
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	for _, r := range bot.Records {
		if len(r.Examples) == 0 || r.Help == "" || r.Usage == "" && r.Verb != o.VerbList {
			t.Errorf("%s %s lacks examples, help or usage", r.Noun, r.Verb)
		}
		for _, e := range r.Examples {
			p, err := bot.Parse(e)
			if err != nil || p.Guess || p.Command.Noun != r.Noun || p.Command.Verb != r.Verb {
				t.Errorf("example %q: %+v, %v", e, p, err)
			}
		}
		help := bot.Help(string(r.Noun), string(r.Verb))
		if !strings.Contains(help, r.Examples[0]) || !strings.Contains(bot.Help(string(r.Noun), ""), r.Help) {
			t.Errorf("help for %s %s lacks its example or line:\n%s", r.Noun, r.Verb, help)
		}
		for _, s := range r.Synonyms {
			if p, err := bot.Parse("env " + s + " --help"); err != nil || p.Command.Name != string(r.Verb) {
				t.Errorf("synonym %q: %+v, %v", s, p, err)
			}
		}
	}
	var words []string
	for _, r := range bot.Records {
		words = append(words, r.Synonyms...)
	}
	slices.Sort(words)
	if u := slices.Compact(slices.Clone(words)); len(u) != len(words) {
		t.Error("a synonym stands for two verbs")
	}
}
