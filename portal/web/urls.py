"""Addresses of the screens."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from portal.web import accounts, charges, lines, operators, sessions

urlpatterns = [
    path("", sessions.home, name="home"),
    path("sign-in/", sessions.SignIn.as_view(), name="sign-in"),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("theme/", sessions.theme, name="theme"),
    path("enterprises/<int:enterprise_id>/", sessions.enterprise, name="enterprise"),
    path("enterprises/<int:enterprise_id>/search/", accounts.tree_search, name="tree-search"),
    path("accounts/<int:account_id>/", accounts.account, name="account"),
    path("accounts/<int:account_id>/children/", accounts.tree_children, name="tree-children"),
    path("accounts/<int:account_id>/lines/", lines.of_account, name="account-lines"),
    path("lines/mine/", lines.mine, name="my-lines"),
    path("lines/<int:line_id>/", lines.line, name="line"),
    path("lines/<int:line_id>/charges/", lines.line_charges, name="line-charges"),
    path("usage/<int:usage_id>/", charges.usage, name="usage"),
    path("operator/", operators.enterprises, name="operator"),
]
