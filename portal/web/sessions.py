"""Signing in, the way home, and the theme."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from balances.selectors import tree
from portal.web.context import THEMES, Navigation, is_operator

YEAR_SECONDS = 365 * 24 * 3600


@method_decorator([login_not_required, never_cache, sensitive_post_parameters("password")], name="dispatch")
class SignIn(LoginView):
    """E-mail and password; guessing is stopped by axes."""

    template_name = "sessions/sign_in.html"
    redirect_authenticated_user = True

    def get_form(self, form_class=None):
        """The form, with an error that names both halves, whichever is wrong."""
        form = super().get_form(form_class)
        form.error_messages["invalid_login"] = "E-mail and password do not fit together. Mind upper and lower case."
        return form


@method_decorator(
    [login_not_required, never_cache, sensitive_post_parameters("new_password1", "new_password2")], name="dispatch"
)
class Welcome(PasswordResetConfirmView):
    """The first password of somebody who was let in; the link is good once."""

    template_name = "sessions/welcome.html"
    success_url = "/"
    post_reset_login = True
    post_reset_login_backend = "django.contrib.auth.backends.ModelBackend"


def home(request: HttpRequest) -> HttpResponse:
    """To where the user's work begins: enterprises, an account, or what is one's own."""
    scope = request.tenancy.scope
    if is_operator(scope):
        return redirect("operator")
    navigation = Navigation(request)
    if navigation.enterprise:
        return redirect("enterprise", navigation.enterprise.id)
    if scope.enterprise_ids():
        return redirect("me")
    return render(request, "sessions/no_membership.html", status=403)


def enterprise(request: HttpRequest, enterprise_id: int) -> HttpResponse:
    """To the highest account of an enterprise that the user may see."""
    tops = tree.tops(request.tenancy.scope, enterprise_id)
    if not tops:
        return render(request, "404.html", status=404)
    return redirect("account", tops[0].id)


@require_POST
@login_not_required
def theme(request: HttpRequest) -> HttpResponse:
    """The next theme in turn, for browsers without script."""
    now = request.COOKIES.get("theme", "auto")
    following = THEMES[(THEMES.index(now) + 1) % len(THEMES)] if now in THEMES else "light"
    back = request.POST.get("next", "/")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = "/"
    response = HttpResponseRedirect(back)
    response.set_cookie("theme", following, max_age=YEAR_SECONDS, samesite="Lax", secure=request.is_secure())
    return response
